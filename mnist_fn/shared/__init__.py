"""What both backends share: NumPy and the standard library only, no jax, no torch."""
