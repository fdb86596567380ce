"""What is configured: parameters, paths, the pipeline's declarations, records."""
