"""Developers' tools: what attention costs, and which architectures take it."""
