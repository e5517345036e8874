"""Labelled questions into a fine-tuned checkpoint."""
