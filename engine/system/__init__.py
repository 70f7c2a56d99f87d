"""The machine and its user: folders, private files, locks."""
