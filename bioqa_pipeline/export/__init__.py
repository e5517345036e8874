"""A data set into files that people go on working with: tables, spreadsheets, libraries of references."""
