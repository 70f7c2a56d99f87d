"""Weights as the kernels read them: packed, quantised, and kept in files."""
