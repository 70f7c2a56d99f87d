"""Texts to token ids, by the checkpoint's own tokenizer."""
