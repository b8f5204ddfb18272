"""Lifecycle's ports over gRPC, and in memory."""
