"""A file or a text into `Question`s, and those into PubMed queries."""
