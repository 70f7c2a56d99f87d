"""From hidden states to vectors: pooling, the modules after it, similarity."""
