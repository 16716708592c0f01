"""Initializers made of others: mixtures, conditionals, correlated parameters."""
