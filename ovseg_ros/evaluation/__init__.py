"""Data sets, metrics, name mapping and reports: how well does a pipeline do?"""
