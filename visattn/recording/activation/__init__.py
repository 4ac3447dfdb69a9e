"""The parts of class activation: where it is taken, how maps are laid out, and its formulas."""
