"""Repeats: the spread of a score over seeds; each seed is an experiment of DVC."""
