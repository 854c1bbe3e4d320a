"""Masks of stable classes over real DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_pipeline, picture
from sensor_msgs.msg import Image

from ovseg_ros.msg import Vocabulary
from ovseg_ros.nodes.images import labels_from_msg
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.srv import SetVocabulary

NODE = "/segmentation_node"
STRIPES = picture("red block", "green block")


def test_group_masks(graph):
    """Configured groups have ids in their order, the operator's follow, the rest is unknown."""
    node = graph.add(
        SegmentationNode,
        build_fake_pipeline,
        vocabulary__mode="fixed",
        vocabulary__names=["red block", "green block"],
        vocabulary__groups=["cold: blue block", "warm: red block, orange block"],
    )
    names = graph.listen(Vocabulary, f"{NODE}/groups/vocabulary", latched=True)
    plain = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: plain and names)
    groups = {c.id: (c.name, tuple(c.synonyms)) for c in names[0].categories}
    assert groups == {
        1: ("unknown", ("green block",)),
        2: ("cold", ()),
        3: ("warm", ("red block",)),
    }

    lookups = []
    node.groups.lookup, lookup = (lambda *a: lookups.append(1) or lookup(*a)), node.groups.lookup
    count = len(plain)
    graph.until(lambda: publish(STRIPES), lambda: len(plain) > count + 1)
    assert not lookups  # nobody has subscribed: nothing is made
    masks = graph.listen(Image, f"{NODE}/groups/label_mask")
    sent = graph.until(lambda: publish(STRIPES), lambda: masks)
    mask = masks[0]
    assert mask.header in [message.header for message in sent]
    assert mask.encoding == "mono8"
    expected = np.repeat([[3, 1]], 32, axis=1).repeat(48, axis=0)
    np.testing.assert_array_equal(labels_from_msg(mask), expected)

    reply = graph.call(
        SetVocabulary,
        f"{NODE}/set_vocabulary",
        names=["green block", "red block"],
        mode=SetVocabulary.Request.MODE_FIXED,
        groups=["grass", ""],
    )
    assert [c.group for c in reply.categories] == ["warm", "grass"]
    graph.until(lambda: publish(STRIPES), lambda: names[-1].version == reply.version)
    assert [c.name for c in names[-1].categories] == ["unknown", "cold", "warm", "grass"]
    graph.until(lambda: publish(STRIPES), lambda: 4 in labels_from_msg(masks[-1]))
    assert set(np.unique(labels_from_msg(masks[-1]))) == {3, 4}


def test_a_group_similarity_without_text_is_refused(graph):
    from ovseg_ros.pipeline import Pipeline, build_vocabulary

    def build(config):
        segmenter = build_fake_pipeline(config).segmenter
        return Pipeline(segmenter, None, build_vocabulary(config.vocabulary, segmenter))

    node = graph.add(SegmentationNode, build, up=False, vocabulary__group_similarity=0.5)
    assert not node.bring_up()
