"""Scheduler: which memories enter a prompt, and the durable job queue (MemOS, arXiv 2507.03724, section 5.2)."""
