"""Whole files under one writer, on a disk or in an object store."""
