"""Folders packed into shards, for data beyond one disk."""
