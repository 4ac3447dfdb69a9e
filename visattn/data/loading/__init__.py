"""From data sets to batches: the order of rows, their sharing, the processes that load."""
