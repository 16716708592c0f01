"""The foundation of all initializers: base class, recipes, composites, constants."""
