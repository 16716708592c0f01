"""What is asked of JAX: its settings and traces, dtypes, shardings, and where XLA rounds."""
