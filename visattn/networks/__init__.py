"""Networks by name and from files: what builds and opens them."""
