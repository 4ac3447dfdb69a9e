"""Several trainings and what they say together: the demo, comparisons, fine-tuning, spreads."""
