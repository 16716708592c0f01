"""What is run as a program of its own is not looked through for doctests."""

collect_ignore = ["one_of_several.py"]
