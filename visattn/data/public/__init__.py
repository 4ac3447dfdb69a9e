"""Public data sets in the layout in which they are published, one a file.

A function turns the layout into a sequence of `visattn.data.Item` for each split, and a thin data
module gives the same batches, options and loaders as one's own photos.
"""
