"""The model again, fast: compiled kernels over packed weights; `engine.model` says what is right."""
