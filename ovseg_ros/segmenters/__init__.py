"""Open-vocabulary segmenters: one file or folder per system, built by name."""
