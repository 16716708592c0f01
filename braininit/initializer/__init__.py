"""What every initializer is: the base class, initializers made of others, constants."""
