"""Ask PubMed many questions at once; every answer carries its evidence and the score of "there is no answer"."""

__version__ = "0.1.0"
