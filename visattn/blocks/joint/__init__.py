"""Blocks that gate channels and places."""
