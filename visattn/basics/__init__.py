"""What every room may use: near-miss names, files written whole, tables of the terminal."""
