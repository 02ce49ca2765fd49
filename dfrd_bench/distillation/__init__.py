"""The building blocks that methods are composed of."""
