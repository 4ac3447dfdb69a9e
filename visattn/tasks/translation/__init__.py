"""Translation of generated sentences."""
