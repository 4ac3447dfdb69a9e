"""Sentiment of generated sentences."""
