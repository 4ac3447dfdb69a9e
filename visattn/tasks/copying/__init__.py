"""Copying, repeating and reversing sequences."""
