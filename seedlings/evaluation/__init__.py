"""Evaluation: model outputs on a split, metrics, and an evaluator for each task."""
