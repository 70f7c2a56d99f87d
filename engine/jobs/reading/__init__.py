"""Files of texts, read row by row."""
