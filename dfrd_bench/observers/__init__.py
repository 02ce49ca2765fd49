"""Loggers beside a run: what is told of it goes to a file, to TensorBoard, or wherever a plugin takes it."""
