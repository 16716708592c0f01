"""Parameters: their types, units and domains, and objects made of parameters."""
