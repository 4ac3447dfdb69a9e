"""What is trained beside the classification of images: a folder a task."""
