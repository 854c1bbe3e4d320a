"""The live page of `ovseg view`: what a segmentation node sees, in a browser; knows no ROS."""
