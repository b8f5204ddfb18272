"""Inference: the models. Embeds texts, counts tokens, generates answers with memories."""
