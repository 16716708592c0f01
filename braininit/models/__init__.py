"""Whole models: a plan that initializes any JAX model by rules."""
