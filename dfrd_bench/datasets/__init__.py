"""Real image datasets, for evaluation and for methods that say they see them."""
