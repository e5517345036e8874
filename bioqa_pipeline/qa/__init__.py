"""A question and a passage into an answer with its null score."""
