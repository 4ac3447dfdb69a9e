"""Blocks that estimate where the object is."""
