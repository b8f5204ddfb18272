"""Governance's ports on real parts, and their in-memory twins."""
