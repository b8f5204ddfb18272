"""Training of LoRA adapters on memories, and the exam that each has to pass."""
