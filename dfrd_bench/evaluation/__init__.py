"""From a network and attacks to per-class numbers."""
