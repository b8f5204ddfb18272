"""Rules of storage as plain Python: what a revision is, what a filter means, how legs are fused."""
