"""The papers' tables from records: which rows, which numbers, which marks, in which format."""
