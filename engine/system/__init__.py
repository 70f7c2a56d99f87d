"""The operating system: CPU cores, folders, private files, locks, threads."""
