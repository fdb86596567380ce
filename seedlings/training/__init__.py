"""Training: batches, augmentations, fit, calibration and checkpoints."""
