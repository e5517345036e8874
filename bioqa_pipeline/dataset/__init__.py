"""Rows into a Parquet data set, each committed once."""
