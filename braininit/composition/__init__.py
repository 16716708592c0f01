"""Initializers made of others: arithmetic, functions, mixtures."""
