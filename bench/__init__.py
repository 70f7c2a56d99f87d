"""Measurements: the same texts, the same checkpoint, every engine, one run. See README.md."""
