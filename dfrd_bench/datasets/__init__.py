"""Real image datasets, for evaluation and teacher training only."""
