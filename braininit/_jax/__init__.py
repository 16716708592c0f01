"""What is asked of JAX: settings, dtypes, shardings."""
