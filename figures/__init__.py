"""The figures: each reads saved records and draws; none trains."""
