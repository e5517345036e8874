"""A folder of PubMed's own files as a source of abstracts."""
