"""Circuits: who connects to whom. Rules that draw edges, and the edges in the forms of others."""
