"""Segmentation and discovery in one process: the default graph.

Run: ``ros2 run ovseg_ros ovseg_node --ros-args -r image:=/camera/image_raw``
The nodes have the same names, topics and parameters as in processes of their own.
"""

from __future__ import annotations

from ovseg_ros.nodes.base import spin
from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.segmentation_node import SegmentationNode


def main() -> int:
    """Run both nodes."""
    return spin(SegmentationNode, DiscoveryNode)


if __name__ == "__main__":
    raise SystemExit(main())
