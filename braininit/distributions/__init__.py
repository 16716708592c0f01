"""The distributions: continuous, positive, and any of them truncated at bounds."""
