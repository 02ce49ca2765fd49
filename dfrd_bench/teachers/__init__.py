"""Robust teachers: where they come from, how they are loaded, how they are trained."""
