"""PubMed's XML into `Abstract`s."""
