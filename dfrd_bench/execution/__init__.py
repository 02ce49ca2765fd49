"""Many runs at once: launchers, what they are asked and what they tell, and what a results folder says of it."""
