"""A question-answering data set and a model into the official figures."""
