"""A file for each command; what they share stands in `cli`."""
