"""Governance: who is calling, what they may do, what happened, and what came from what."""
