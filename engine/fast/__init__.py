"""The model again, fast: compiled kernels over packed weights. `engine.model` is the truth."""
