"""How attention gets into a model: its stages and places seen, the plan, the insertion."""
