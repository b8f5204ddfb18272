"""The demo: a conversation, ten questions about it, and what runs them."""
