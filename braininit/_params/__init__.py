"""What a parameter is: its types, its unit, its domain, and objects made of parameters."""
