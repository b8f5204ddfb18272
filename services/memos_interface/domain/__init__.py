"""The interface's pure rules: reading messages, understanding questions, recording turns, drawing provenance."""
