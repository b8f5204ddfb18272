"""How answers look to a person."""
