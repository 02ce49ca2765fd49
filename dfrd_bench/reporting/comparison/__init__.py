"""Runs on the same test images, difference by difference."""
