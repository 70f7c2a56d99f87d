"""Shards of vectors and the journal of a job."""
