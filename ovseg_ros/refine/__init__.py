"""Sharper masks: dense CRFs that pull probabilities towards smooth regions and image edges."""
