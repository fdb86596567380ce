"""Exports: a packaged model as a folder that needs neither Seedlings nor, mostly, TensorFlow."""
