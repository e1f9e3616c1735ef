"""What the ladder compares of two backends, and the declared experiment that explains it."""
