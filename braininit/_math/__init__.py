"""Random words to numbers: elementary functions and standard draws, without keys and units."""
