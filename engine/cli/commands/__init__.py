"""The commands of `bge`, a module for each or for some that belong together."""
