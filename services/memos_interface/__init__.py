"""The interface service: reads what callers give, answers them, and guards the edge."""
