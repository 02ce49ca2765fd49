"""Numbers that cannot be or do not fit together: recorded ones and the papers'."""
