"""Blocks that choose between convolutions."""
