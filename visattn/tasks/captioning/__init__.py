"""Captions of scenes of two dishes."""
