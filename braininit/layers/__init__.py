"""Initializers that know a layer: fans, gains, orthogonal and structured matrices."""
