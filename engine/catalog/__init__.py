"""The models that are known: where they are found, checked and downloaded."""
