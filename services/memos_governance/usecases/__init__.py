"""Governance's commands and queries, one a file."""
