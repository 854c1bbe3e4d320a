"""How many CPU threads a node may use: words, frames and queries alike."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import cv2
import torch
from fakes import ColourSegmenter, picture
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.srv import QuerySegmentation, SetVocabulary
from ovseg_ros.vocabulary.living import LivingVocabulary


class Counting(ColourSegmenter):
    """Notes how many threads torch may use where it is asked."""

    def __init__(self):
        """Nothing was asked yet."""
        super().__init__()
        self.seen = {"segment": set(), "embed": set()}

    def segment(self, images, vocabulary):
        """Segment as usual."""
        self.seen["segment"].add(torch.get_num_threads())
        return super().segment(images, vocabulary)

    def embed(self, names):
        """Encode names."""
        import numpy as np

        self.seen["embed"].add(torch.get_num_threads())
        return np.ones((len(names), 2), np.float32)


@pytest.fixture
def unchanged():
    """Leave the process as it was."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


@pytest.mark.parametrize("threads", [2, 3])
def test_all_that_segmentation_computes(graph, unchanged, threads):
    segmenter = Counting()

    def build(config):
        return Pipeline(segmenter, None, LivingVocabulary(config.vocabulary))

    graph.add(SegmentationNode, build, threads=threads)
    masks = graph.listen(Image, "/segmentation_node/label_mask")
    reply = graph.call(SetVocabulary, "/segmentation_node/set_vocabulary", names=["x"], mode=1)
    assert reply.success, reply.message
    publish = graph.camera()
    graph.until(lambda: publish(picture("red block")), lambda: masks)
    reply = graph.call(QuerySegmentation, "/segmentation_node/query", names=["red block"])
    assert reply.success, reply.message
    assert segmenter.seen == {"segment": {threads}, "embed": {threads}}
    assert cv2.getNumThreads() == threads


def test_it_takes_effect_in_configure(graph):
    graph.add(
        SegmentationNode,
        lambda config: Pipeline(Counting(), None, LivingVocabulary(config.vocabulary)),
    )
    wanted = Parameter("threads", value=2).to_parameter_msg()
    reply = graph.call(SetParameters, "/segmentation_node/set_parameters", parameters=[wanted])
    assert "takes effect in configure" in reply.results[0].reason
