"""Training: batches, augmentations, fit, its callbacks, and calibration."""
