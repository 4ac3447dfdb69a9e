"""Blocks that add one context of the whole map to each place."""
