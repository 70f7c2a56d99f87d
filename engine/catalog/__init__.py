"""The catalog of known models: finding, verifying and downloading their files."""
