"""Shards scored on the nodes of a Ray cluster."""
