"""Networks: backbones, architectures, saving and loading, and features computed once."""
