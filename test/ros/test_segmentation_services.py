"""The services of the segmentation node over real DDS."""

from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from builtin_interfaces.msg import Time
from fakes import build_fake_pipeline, picture
from sensor_msgs.msg import Image

from ovseg_ros.nodes.images import image_to_msg, labels_from_msg
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.nodes.vocabulary_publisher import VocabularyPublisher
from ovseg_ros.srv import GetVocabulary, QuerySegmentation, SetVocabulary
from ovseg_ros.types import Category, Vocabulary
from ovseg_ros.vocabulary.groups import GroupTable

NODE = "/segmentation_node"
WORDS = {"vocabulary__mode": "fixed", "vocabulary__names": ["red block", "green block"]}
STRIPES = picture("red block", "green block")


@pytest.fixture(scope="module")
def services(shared_graph):
    shared_graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    return shared_graph


@pytest.mark.parametrize(
    ("names", "mode", "reason"),
    [
        ([], 1, "at least one name"),
        (["mug", "  "], 1, "visible character"),
        (["mug", "Mug "], 1, "more than once"),
        (["m" * 65], 1, "at most 64 characters"),
        (["mug"], 0, "expected none in mode 'auto'"),
        (["mug"], 9, "mode: expected 0"),
    ],
)
def test_bad_vocabulary_is_refused_and_nothing_changes(services, names, mode, reason):
    before = services.call(GetVocabulary, f"{NODE}/get_vocabulary").vocabulary
    reply = services.call(SetVocabulary, f"{NODE}/set_vocabulary", names=names, mode=mode)
    assert not reply.success
    assert reason in reply.message
    after = services.call(GetVocabulary, f"{NODE}/get_vocabulary").vocabulary
    assert after.categories == before.categories
    assert after.version == before.version == reply.version


@pytest.mark.parametrize(
    ("names", "encoding", "reason"),
    [
        ([], "rgb8", "at least one name"),
        (["mug", "mug"], "rgb8", "more than once"),
        (["mug"], "rgb9", "image: encoding: expected one of"),
        (["mug"], "rgb16", "image: encoding"),
    ],
)
def test_bad_query_is_refused(services, names, encoding, reason):
    image = image_to_msg(STRIPES, "rgb8", Image().header)
    image.encoding = encoding
    reply = services.call(QuerySegmentation, f"{NODE}/query", names=names, image=image)
    assert not reply.success
    assert reason in reply.message


def test_query_without_a_frame_is_refused(services):
    reply = services.call(QuerySegmentation, f"{NODE}/query", names=["mug"])
    assert not reply.success
    assert "no frame has come on /image" in reply.message


def test_a_vocabulary_is_told_as_that_of_its_session():
    """Versions begin anew when a node is configured again."""
    outlet = MagicMock(groups=GroupTable())
    words = VocabularyPublisher(outlet, Time)
    before, after = (
        Vocabulary(session=session, version=1, categories=(Category(id=1, name=name),))
        for session, name in (("a", "mug"), ("b", "tray"))
    )
    words.announce(before)
    assert words.message(before) is words.message(before)
    assert words.message(after).categories[0].name == "tray"


def test_query(services):
    image = image_to_msg(STRIPES, "rgb8", Image().header)
    names = ["blue block", "green block"]
    reply = services.call(QuerySegmentation, f"{NODE}/query", names=names, image=image)
    assert reply.success, reply.message
    blue, green = reply.results
    assert (blue.name, blue.present, blue.pixels) == ("blue block", False, 0)
    assert (green.name, green.present, green.label) == ("green block", True, 2)
    assert (green.x, green.y, green.width, green.height) == (32, 0, 32, 48)
    assert set(np.unique(labels_from_msg(reply.label_mask))) == {0, 2}
