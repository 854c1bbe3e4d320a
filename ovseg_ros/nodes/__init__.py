"""ROS 2 nodes: the only part of the package that imports rclpy and messages."""

import sys

from ovseg_ros.interrupts import leave_quietly
from ovseg_ros.supervisor import supervise

if sys.argv[0] == "-m":  # what Python puts there while it looks for `python -m ovseg_ros.nodes.X`
    leave_quietly()
    supervise()
