"""Configuration: parameters, paths, the stages in dvc.yaml, and records."""
