"""The segmentation node over real DDS, with colours instead of a model."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_pipeline, picture
from sensor_msgs.msg import Image

from ovseg_ros.nodes.images import labels_from_msg
from ovseg_ros.nodes.segmentation_node import SegmentationNode

NODE = "/segmentation_node"


@pytest.fixture
def node(graph):
    return graph.add(
        SegmentationNode,
        build_fake_pipeline,
        vocabulary__mode="fixed",
        vocabulary__names=["red block", "green block"],
    )


def test_mask_has_the_size_and_header_of_the_image(graph, node):
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    sent = publish(picture("red block", "green block", size_hw=(48, 64)))
    mask = graph.wait(lambda: masks)[0]
    assert mask.header == sent.header
    assert mask.encoding == "mono8"
    expected = np.repeat([[1, 2]], 32, axis=1).repeat(48, axis=0)
    np.testing.assert_array_equal(labels_from_msg(mask), expected)
