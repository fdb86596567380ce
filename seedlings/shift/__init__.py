"""Dataset shift: whether new images are like those that a model was trained and validated on."""
