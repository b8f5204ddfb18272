"""One command or query a file."""
