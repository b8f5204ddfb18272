"""Lifecycle: moves cubes through their states, each decision with its reason (MemOS, arXiv 2507.03724, section 5.2)."""
