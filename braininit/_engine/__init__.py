"""From a key to random words, and from a kernel to a compiled program."""
