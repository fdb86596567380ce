"""Images and labels: where they come from, which are duplicates, and how they are split."""
