"""How a plan of many runs scales, by simulation of what cannot be had here."""
