"""Texts of many requests, computed in common batches."""
