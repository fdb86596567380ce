"""Search: finds better parameters; each trial is an experiment of DVC."""
