"""The ladder's kernels: `problems` with their exact results, and ways to compute them."""
