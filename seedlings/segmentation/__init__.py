"""Foreground masks and the images without their background."""
