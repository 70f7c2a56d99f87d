"""Corpora: files in, vectors out, on one machine or on a Ray cluster."""
