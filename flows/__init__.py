"""Prefect flows and command lines over `bioqa_pipeline`. Nothing imports this package."""
