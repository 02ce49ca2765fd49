"""Published numbers and runnable suites of the papers' tables."""
