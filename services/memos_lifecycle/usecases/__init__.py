"""What lifecycle does, one use case a file."""
