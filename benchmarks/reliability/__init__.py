"""Measurements of what survives: damaged and hostile files."""
