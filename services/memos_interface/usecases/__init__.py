"""One file, one command or query."""
