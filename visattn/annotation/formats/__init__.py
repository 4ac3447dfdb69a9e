"""Annotation files of other tools, by their layout."""
