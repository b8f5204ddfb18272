"""The services of storage on the wire: convert, call the use case, convert."""
