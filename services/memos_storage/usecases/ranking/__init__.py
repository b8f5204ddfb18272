"""The stages that rank the candidates of a search, each with a reason to exist in its first line."""
