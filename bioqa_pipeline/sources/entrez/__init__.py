"""NCBI's E-utilities as a source of abstracts."""
