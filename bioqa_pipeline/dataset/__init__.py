"""Rows into a Parquet data set, each committed once; `Dataset` reads it and opens its writer."""

from bioqa_pipeline.dataset.reader import Dataset

__all__ = ["Dataset"]
