"""Segmentation and discovery in one process: the default graph.

Run: ``ros2 run ovseg_ros ovseg_node --ros-args -r image:=/camera/image_raw``
The nodes have the same names, topics and parameters as in processes of their own.
"""

from __future__ import annotations

from ovseg_ros.nodes.base import BaseNode
from ovseg_ros.nodes.spin import spin


# Imported when they are made: that takes seconds, in which a signal should end the program too.
def _segmentation() -> BaseNode:
    from ovseg_ros.nodes.segmentation_node import SegmentationNode

    return SegmentationNode()


def _discovery() -> BaseNode:
    from ovseg_ros.nodes.discovery_node import DiscoveryNode

    return DiscoveryNode()


def main() -> int:
    """Run both nodes."""
    return spin(_segmentation, _discovery)


if __name__ == "__main__":
    raise SystemExit(main())
