"""The form that the bytes of activation and parametric payloads have."""

SAFETENSORS = "application/vnd.safetensors"
"""Media type of the only format that is stored: it holds tensors and text, and no code."""
