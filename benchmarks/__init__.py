"""Speed, shown by ratios of things timed in turn: ``python -m benchmarks --help``."""
