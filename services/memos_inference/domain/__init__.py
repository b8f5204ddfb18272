"""Values of inference, and what a request must be like."""
