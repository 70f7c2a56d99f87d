"""From states of tokens to vectors: pooling, the modules behind it, similarity."""
