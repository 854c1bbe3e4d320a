"""The papers' tables on the robot cell: one file each with a function ``table``."""
