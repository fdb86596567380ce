"""Explanation: gradients, activation maximisation and saliency maps."""
