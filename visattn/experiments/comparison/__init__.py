"""Recipes side by side: what ``visattn compare`` does.

Every recipe is trained and tested with several seeds, each run in a process of its own (`one_run`).
What comes of a run is a row of a CSV file (`records`), from which alone the means (`summary`), the
Markdown (`page`) and the plot (`figure`) are made.
"""
