"""Seedlings: a reproducible image-classification pipeline on DVC, MLflow and Keras."""

import os

# TensorFlow reads these when it is first imported, so they have to stand before any other module.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"  # on or off changes results in the last bits
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
