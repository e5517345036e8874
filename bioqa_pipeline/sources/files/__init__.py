"""Files of records that people export from PubMed, EndNote, Zotero and the like -> `Abstract`s by PMID -> a source."""
