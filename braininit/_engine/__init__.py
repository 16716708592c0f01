"""Keys to random words, kernels to compiled programs."""
