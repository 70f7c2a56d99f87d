"""The command `bge`."""
