"""A run of a data set as a page for people."""
