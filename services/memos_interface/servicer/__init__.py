"""The public services on the wire: convert, call the use case, convert."""
