"""Data sets that are rendered: sushi on plates, and diners who smile at it or do not."""
