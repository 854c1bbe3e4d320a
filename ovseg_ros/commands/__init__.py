"""The commands of `ovseg`, one file per theme; importing them is cheap, running them may not be."""
