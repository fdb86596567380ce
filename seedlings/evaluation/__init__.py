"""Evaluation: model outputs on a split, metrics, and one evaluator for each task."""
