"""Networks: backbones, architectures, models on disk, and precomputed features."""
