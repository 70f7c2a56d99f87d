"""Texts to token ids, as the checkpoint's own tokenizer does it."""
