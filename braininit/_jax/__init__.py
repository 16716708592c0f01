"""Interface to JAX: settings and traces, dtypes, shardings, and rounding in XLA."""
