"""Charts and image grids, drawn from arrays and independent of tasks and stages."""
