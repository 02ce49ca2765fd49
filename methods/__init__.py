"""The benchmark's methods, one file each."""
