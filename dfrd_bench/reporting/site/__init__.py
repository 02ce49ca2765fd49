"""A static site of results: leaderboards, charts, a page per run and per method, and any two runs compared."""
