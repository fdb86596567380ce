"""The model bundle: the fine-tuned model with everything that precedes it."""
