"""One self-contained page about finished runs, with a digit to draw."""
