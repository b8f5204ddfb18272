"""One file or folder a technology."""
