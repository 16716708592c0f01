"""Benchmarks of speed, by calls that are timed in turn: ``python -m benchmarks --help``."""
