"""Training: batches, augmentation, fitting, calibration, checkpoints."""
