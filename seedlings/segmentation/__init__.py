"""Segmentation: foreground masks, and images without their background."""
