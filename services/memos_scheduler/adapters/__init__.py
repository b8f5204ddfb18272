"""The scheduler's ports over gRPC, over SQL, and in memory."""
