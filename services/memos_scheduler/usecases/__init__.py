"""What the scheduler does, one use case a file."""
