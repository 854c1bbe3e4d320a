"""`ovseg demo`: the whole graph on the robot cell, and a report of it."""
