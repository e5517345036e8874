"""`Abstract`s kept, found by PMID and searched."""
