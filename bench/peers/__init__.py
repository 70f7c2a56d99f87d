"""The engines that are compared: one file a family, and `registry` with their names."""
