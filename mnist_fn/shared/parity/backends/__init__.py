"""The ladder between two backends: each rung rests on those below it."""
