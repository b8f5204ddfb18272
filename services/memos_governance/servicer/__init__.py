"""Governance's rpcs: convert, call a use case, convert."""
