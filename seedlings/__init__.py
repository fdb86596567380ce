"""Seedlings: a reproducible image-classification pipeline on DVC, MLflow and Keras."""

import os

# TensorFlow reads these when it is imported, which other modules of the package do.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # fixed, because it changes results in the last bits
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
