"""Attention of networks that have their own: its weights, and where in the picture each token is."""
