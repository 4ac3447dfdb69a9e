"""Blocks that gate channels."""
