"""Metrics of masks and names."""
