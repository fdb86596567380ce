"""Serving: the predictions of a packaged model for files, over HTTP and in the demo."""
