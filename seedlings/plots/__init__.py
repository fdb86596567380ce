"""Charts and image grids: they draw arrays and know nothing of plants, tasks or stages."""
