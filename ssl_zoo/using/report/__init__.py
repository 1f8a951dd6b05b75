"""A page about a run or a sweep: one HTML file that holds all it needs."""
