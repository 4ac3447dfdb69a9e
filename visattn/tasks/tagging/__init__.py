"""Tags of the words of generated sentences."""
