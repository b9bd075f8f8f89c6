"""Where what left came from, and what was made of what: told to each side as far as it is its own affair."""
