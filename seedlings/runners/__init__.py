"""Runners: run the trials of a search in clones, here or on the workers of a cluster."""
