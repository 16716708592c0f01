"""From random words to numbers: elementary functions, standard draws; no keys, no units."""
