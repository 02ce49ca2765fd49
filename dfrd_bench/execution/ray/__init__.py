"""The launcher of Ray's clusters: what the driver does, what its workers do, and what they say to each other."""
