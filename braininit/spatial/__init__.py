"""Connections by distance: profiles, distances, and weights modulated by them."""
