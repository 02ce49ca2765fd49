"""What is on disk: the schema of a record, where its files are, how they are written, weights, suites."""
