"""Single objects as messages, with ids that stay."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import COLOURS, KeyFrameSegmenter, build_fake_pipeline
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from ovseg_ros.msg import FrameCategories
from ovseg_ros.nodes import instances
from ovseg_ros.nodes.carried import Masks
from ovseg_ros.nodes.conversions import stamp_to_msg
from ovseg_ros.nodes.images import labels_from_msg
from ovseg_ros.nodes.instances import InstancePublisher, numbered
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.types import Category, Segment, Vocabulary
from ovseg_ros.vocabulary.living import LivingVocabulary

WORDS = {"vocabulary__mode": "fixed", "vocabulary__names": ["red block", "green block"]}


def segment(number, area=4):
    return Segment(id=number, category_id=1, score=0.5, area=area, box_xywh=(0, 0, 2, 2))


def blocks(*columns):
    """A picture with red blocks from these columns on."""
    image = np.zeros((48, 64, 3), np.uint8)
    for column in columns:
        image[20:30, column : column + 8] = COLOURS["red block"]
    return image


def test_values_in_the_mask_are_the_tracks():
    found = numbered(
        np.array([[1, 2], [0, 1]], np.uint16), [segment(1, 2), segment(2, 9)], (7, 300)
    )
    assert found.ids.tolist() == [[7, 300], [0, 7]]
    assert [s.id for s in found.segments] == [300, 7]  # largest first
    assert found.track_ids == (300, 7)


def test_tracks_beyond_16_bits_take_free_values():
    ids = np.array([[1, 2, 3]], np.uint16)
    found = numbered(ids, [segment(1), segment(2), segment(3)], (70_000, 1, 70_001))
    assert found.ids.tolist() == [[2, 1, 3]]
    assert found.track_ids == (70_000, 1, 70_001)


def test_stuff_is_no_object():
    """A panoptic segmenter has segments of stuff as well."""
    topic = SimpleNamespace(get_subscription_count=lambda: 1)
    config = SimpleNamespace(track_gap_s=1.0, instance_min_share=0.0)
    node = SimpleNamespace(publisher=lambda *_: topic, config=config)
    words = Vocabulary(
        categories=(Category(id=1, name="mug"), Category(id=2, name="floor", is_thing=False))
    )
    floor = Segment(id=1, category_id=2, score=0.9, area=3, box_xywh=(0, 0, 2, 2))
    mug = Segment(id=2, category_id=1, score=0.8, area=1, box_xywh=(1, 1, 1, 1))
    masks = Masks(
        stamp_s=0.0,
        version=0,
        labels=np.array([[2, 2], [2, 1]], np.uint8),
        confidence=np.full((2, 2), 200, np.uint8),
        segment_ids=np.array([[1, 1], [1, 2]], np.uint16),
        segments=(floor, mug),
    )
    found = InstancePublisher(node, "~").find(masks, words)
    assert [s.category_id for s in found.segments] == [1]
    assert found.ids.tolist() == [[0, 0], [0, found.segments[0].id]]


def test_objects_are_followed_while_somebody_listens(graph):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    categories = graph.listen(FrameCategories, "/segmentation_node/categories")
    publish = graph.camera()
    graph.until(lambda: publish(blocks(2)), lambda: categories)
    assert not categories[-1].instances  # nobody listens to what needs them
    masks = graph.listen(Image, "/segmentation_node/instance_mask")
    graph.until(lambda: publish(blocks(2)), lambda: masks)
    place, ids = 2, []
    for _ in range(8):
        place += 3
        sent = publish(blocks(place, 54))
        graph.wait(lambda s=sent: any(m.header == s.header for m in masks))
        mask = next(m for m in masks if m.header == sent.header)
        graph.wait(lambda s=sent: any(m.header == s.header for m in categories))
        message = next(m for m in categories if m.header == sent.header)
        assert mask.encoding == "16UC1"
        values = labels_from_msg(mask)
        assert set(np.unique(values)) == {0, *(one.id for one in message.instances)}
        assert len(message.instances) == 2
        for one in message.instances:
            assert (one.name, one.track_id) == ("red block", one.id)
            assert one.pixels == np.count_nonzero(values == one.id)
            rows, columns = np.nonzero(values == one.id)
            assert (one.x, one.y) == (columns.min(), rows.min())
            assert (one.width, one.height) == (8, 10)
        ids.append((values[25, place + 1], values[25, 55]))
    assert len(set(ids)) == 1


def test_carried_masks_keep_their_ids_and_say_their_age(graph):
    graph.add(
        SegmentationNode,
        lambda config: Pipeline(KeyFrameSegmenter(), None, LivingVocabulary(config.vocabulary)),
        keyframe_period_s=60.0,
        **WORDS,
    )
    masks = graph.listen(Image, "/segmentation_node/instance_mask")
    categories = graph.listen(FrameCategories, "/segmentation_node/categories")
    publish = graph.camera()
    graph.until(lambda: publish(blocks(2)), lambda: len(masks) > 3 and len(categories) > 3)
    assert {int(image.max()) for image in map(labels_from_msg, masks)} == {1}
    assert {message.age.sec * 10**9 + message.age.nanosec for message in categories} != {0}


def test_detections(monkeypatch):
    class Message(SimpleNamespace):
        def __init__(self, **fields):
            super().__init__(**fields)

    def box():
        position = SimpleNamespace(x=0.0, y=0.0)
        return SimpleNamespace(center=SimpleNamespace(position=position), size_x=0.0, size_y=0.0)

    class Detection2D(Message):
        def __init__(self, **fields):
            super().__init__(bbox=box(), **fields)

    class Hypothesis(Message):
        def __init__(self):
            super().__init__(hypothesis=SimpleNamespace(class_id="", score=0.0))

    class Array(Message):
        def __init__(self, **fields):
            super().__init__(detections=[], **fields)

    monkeypatch.setattr(instances, "Detection2D", Detection2D, raising=False)
    monkeypatch.setattr(instances, "Detection2DArray", Array)
    monkeypatch.setattr(instances, "ObjectHypothesisWithPose", Hypothesis, raising=False)
    header = Header(stamp=stamp_to_msg(5), frame_id="camera")
    one = Segment(id=1, category_id=3, score=0.25, area=6, box_xywh=(10, 20, 3, 2))
    found = numbered(np.array([[1]], np.uint16), [one], (42,))
    message = instances.detections_to_msg(found, header)
    assert message.header == header
    (detection,) = message.detections
    assert (detection.id, detection.header) == ("42", header)
    result = detection.results[0].hypothesis
    assert (result.class_id, result.score) == ("3", 0.25)
    assert (detection.bbox.center.position.x, detection.bbox.center.position.y) == (11.5, 21.0)
    assert (detection.bbox.size_x, detection.bbox.size_y) == (3.0, 2.0)


def test_detections_of_the_real_vision_msgs():
    pytest.importorskip("vision_msgs", reason="needs vision_msgs, of which there is no wheel")
    one = Segment(id=1, category_id=3, score=0.25, area=6, box_xywh=(10, 20, 3, 2))
    found = numbered(np.array([[1]], np.uint16), [one], (42,))
    (detection,) = instances.detections_to_msg(found, Header()).detections
    assert detection.results[0].hypothesis.class_id == "3"
    assert detection.bbox.center.position.x == 11.5
