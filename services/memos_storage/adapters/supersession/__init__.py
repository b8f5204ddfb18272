"""How it is told, without a language model, that one statement makes an earlier one untrue."""
