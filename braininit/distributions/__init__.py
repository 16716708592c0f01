"""The distributions: continuous, positive, and any of them cut off at bounds."""
