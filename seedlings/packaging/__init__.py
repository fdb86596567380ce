"""The model bundle: the fine-tuned model with its segmentation and outputs."""
