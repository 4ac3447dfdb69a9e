"""Blocks by which places read from other places."""
