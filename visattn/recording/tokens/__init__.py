"""Attention that networks have of their own: its weights, and where its tokens lie."""
