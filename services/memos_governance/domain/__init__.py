"""Governance's own rules, in plain Python."""
