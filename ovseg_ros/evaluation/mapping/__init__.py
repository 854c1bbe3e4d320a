"""Discovered names onto a data set's classes."""
