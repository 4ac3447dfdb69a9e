"""Pieces of sushi: nigiri, rolls, and what they are made of."""
