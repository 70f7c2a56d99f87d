"""An `Embedder` as other libraries want it: one small module for each, its library an extra.

Each takes what `engine.load` takes, or an `Embedder` that it has returned.
"""
