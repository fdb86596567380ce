"""Data: sources of images and labels, duplicates, and the split."""
