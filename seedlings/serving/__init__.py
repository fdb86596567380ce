"""Predictions of a packaged model: on files, over HTTP and in the demo."""
