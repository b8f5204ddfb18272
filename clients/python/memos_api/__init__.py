"""Generated protobuf and gRPC code of the memos.v1 and memos.internal.v1 contracts."""
