"""Masks that nobody has to draw: imported, proposed, reviewed on a page, put into the folder."""
