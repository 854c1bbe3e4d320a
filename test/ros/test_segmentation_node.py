"""The segmentation node over real DDS, with colours instead of a model."""

import array

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from fakes import (
    ColourSegmenter,
    ForgetfulSegmenter,
    KeyFrameSegmenter,
    build_fake_pipeline,
    picture,
)
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_srvs.srv import SetBool

from ovseg_ros.msg import Category, FrameCategories, Vocabulary
from ovseg_ros.nodes.base import LATCHED_QOS
from ovseg_ros.nodes.conversions import stamp_from_msg
from ovseg_ros.nodes.images import image_from_msg, image_to_msg, labels_from_msg
from ovseg_ros.nodes.point_cloud import POINT
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.srv import QuerySegmentation, SetVocabulary
from ovseg_ros.vocabulary.living import LivingVocabulary

NODE = "/segmentation_node"
WORDS = {"vocabulary__mode": "fixed", "vocabulary__names": ["red block", "green block"]}
STRIPES = picture("red block", "green block")


def fixed(names):
    return {"names": names, "mode": SetVocabulary.Request.MODE_FIXED}


def test_outputs(graph):
    """Mask, confidence, categories, overlay and vocabulary of one frame."""
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    confidences = graph.listen(Image, f"{NODE}/confidence")
    overlays = graph.listen(Image, f"{NODE}/overlay")
    categories = graph.listen(FrameCategories, f"{NODE}/categories")
    words = graph.listen(Vocabulary, f"{NODE}/vocabulary", latched=True)
    publish = graph.camera()
    found = []  # of one frame: the listeners may not all hear the first one

    def of_one_frame():
        for mask in list(masks):
            others = [
                next((m for m in list(heard) if m.header == mask.header), None)
                for heard in (confidences, overlays, categories)
            ]
            if all(others):
                found[:] = [mask, *others]
        return found and words

    sent = graph.until(lambda: publish(STRIPES), of_one_frame)
    mask, confidence, overlay, seen = found
    assert mask.header in [message.header for message in sent]
    assert (mask.encoding, confidence.encoding, overlay.encoding) == ("mono8", "mono8", "rgb8")
    expected = np.repeat([[1, 2]], 32, axis=1).repeat(48, axis=0)
    np.testing.assert_array_equal(labels_from_msg(mask), expected)
    np.testing.assert_array_equal(labels_from_msg(confidence), 200)
    assert image_from_msg(overlay).shape == STRIPES.shape
    assert [c.name for c in seen.categories] == ["red block", "green block"]
    assert words[0].version == seen.vocabulary_version == 1
    assert [c.source for c in words[0].categories] == [Category.SOURCE_FIXED] * 2


def test_vocabulary_changes_at_a_frame_boundary_and_is_announced_first(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    heard = []  # one writer thread, one reader thread: what was sent first is in front
    node.words._vocabulary.publish = heard.append
    node._masks[0]._mask.publish = heard.append
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: len(heard) > 3)
    reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", **fixed(["green block"]))
    assert (reply.success, reply.version) == (True, 2)
    assert [(c.id, c.name) for c in reply.categories] == [(2, "green block")]
    sent = graph.until(
        lambda: publish(STRIPES), lambda: any(isinstance(m, Vocabulary) for m in heard[1:])
    )
    graph.until(lambda: sent.append(publish(STRIPES)), lambda: isinstance(heard[-1], Image))

    announced = {}
    for message in heard:
        if isinstance(message, Vocabulary):
            assert message.version > max(announced, default=0)
            announced[message.version] = {c.id for c in message.categories}
        else:
            ids = set(np.unique(labels_from_msg(message))) - {0}
            assert ids <= announced[max(announced)]
            if stamp_from_msg(message.header.stamp) >= stamp_from_msg(reply.valid_from):
                assert ids == {2}
    assert set(announced) == {1, 2}


def test_a_bad_frame_is_counted_and_the_next_one_segmented(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    publish(STRIPES, corrupt=True)
    graph.wait(lambda: node.refused == 1)
    graph.until(lambda: publish(STRIPES), lambda: masks)
    assert node.refused == 1


@pytest.mark.parametrize("reliability", list(ReliabilityPolicy)[1:3])
def test_cameras_of_either_reliability(graph, reliability):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    qos = QoSProfile(depth=1, reliability=reliability)
    publisher = graph.client.create_publisher(Image, "/image", qos)
    graph.until(
        lambda: publisher.publish(image_to_msg(STRIPES, "rgb8", graph.header())), lambda: masks
    )
    infos = graph.client.get_subscriptions_info_by_topic("/image")
    offered = {info.qos_profile.reliability for info in infos}
    assert offered == {ReliabilityPolicy.RELIABLE, reliability}  # the reliable one stays


def test_compressed_input(graph):
    graph.add(SegmentationNode, build_fake_pipeline, image_transport="compressed", **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publisher = graph.client.create_publisher(CompressedImage, "/image/compressed", 5)
    png = cv2.imencode(".png", STRIPES[..., ::-1])[1].tobytes()
    message = CompressedImage(format="png", data=array.array("B", png))
    graph.until(lambda: publisher.publish(message), lambda: masks)
    assert set(np.unique(labels_from_msg(masks[0]))) == {1, 2}


def test_several_cameras_are_batched_and_have_topics_of_their_own(graph):
    segmenter = ColourSegmenter(delay_s=0.05)
    graph.add(
        SegmentationNode,
        lambda config: Pipeline(segmenter, None, LivingVocabulary(config.vocabulary)),
        image_topics=["/front/image_raw", "/rear/image_raw"],
        mask_encoding="16UC1",
        **WORDS,
    )
    front = graph.listen(Image, f"{NODE}/front/label_mask")
    rear = graph.listen(Image, f"{NODE}/rear/label_mask")
    cameras = [graph.camera("/front/image_raw"), graph.camera("/rear/image_raw")]

    def publish():
        cameras[0](STRIPES)
        cameras[1](picture("green block"))

    graph.until(publish, lambda: front and rear and 2 in segmenter.batches)
    assert front[0].encoding == "16UC1"
    assert set(np.unique(labels_from_msg(front[0]))) == {1, 2}
    assert set(np.unique(labels_from_msg(rear[0]))) == {2}


def test_only_the_newest_frame_is_segmented(graph):
    segmenter = ColourSegmenter(delay_s=0.1)
    node = graph.add(
        SegmentationNode,
        lambda config: Pipeline(segmenter, None, LivingVocabulary(config.vocabulary)),
        **WORDS,
    )
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    sent = graph.until(
        lambda: publish(STRIPES), lambda: len(masks) >= 3 and node.worker.dropped > 0
    )
    stamps = [stamp_from_msg(mask.header.stamp) for mask in masks]
    assert stamps == sorted(set(stamps))
    assert len(sent) > len(masks)


def test_enable(graph):
    graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: masks)
    assert graph.call(SetBool, f"{NODE}/enable", data=False).message == "disabled"
    assert graph.call(SetBool, f"{NODE}/enable", data=True).message == "enabled"
    masks.clear()
    graph.until(lambda: publish(STRIPES), lambda: masks)


def test_proposals_become_words(graph):
    graph.add(SegmentationNode, build_fake_pipeline)
    words = graph.listen(Vocabulary, f"{NODE}/vocabulary", latched=True)
    publisher = graph.client.create_publisher(Vocabulary, "/discovery_node/proposals", LATCHED_QOS)
    publisher.publish(Vocabulary(categories=[Category(name="Red  Block", score=0.5)]))
    graph.wait(lambda: words and words[-1].categories)
    category = words[-1].categories[0]
    assert (category.id, category.name, category.source) == (1, "red block", Category.SOURCE_AUTO)


def test_lifecycle(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, **WORDS)
    publish = graph.camera()
    masks = graph.listen(Image, f"{NODE}/label_mask")
    for _ in range(2):
        graph.until(lambda: publish(STRIPES), lambda: masks)
        assert node.trigger_deactivate().name == "SUCCESS"
        reply = graph.call(QuerySegmentation, f"{NODE}/query", names=["mug"])
        assert not reply.success
        assert node.trigger_cleanup().name == "SUCCESS"
        assert node.pipeline is None
        reply = graph.call(SetVocabulary, f"{NODE}/set_vocabulary", **fixed(["mug"]))
        assert (reply.success, reply.message) == (False, "the node is not configured")
        assert node.bring_up()
        masks.clear()


def test_missing_models_fail_configure(graph):
    def build(config):
        raise FileNotFoundError("weights: 'nowhere' is missing")

    node = graph.add(SegmentationNode, build, up=False)
    assert not node.bring_up()
    assert node.trigger_configure().name == "FAILURE"


def test_point_cloud(graph):
    graph.add(SegmentationNode, build_fake_pipeline, depth_topic="/depth", **WORDS)
    clouds = graph.listen(PointCloud2, f"{NODE}/points")
    publish = graph.camera()
    depths = graph.client.create_publisher(Image, "/depth", 5)
    infos = graph.client.create_publisher(CameraInfo, "/camera_info", 5)
    info = CameraInfo(width=64, height=48)
    info.k = [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
    half = np.full((24, 32), 2000, np.uint16)
    half[0] = 0

    def send():
        infos.publish(info)
        header = graph.header()
        depths.publish(image_to_msg(half, "16UC1", header))
        publish(STRIPES, header=header)

    graph.until(send, lambda: clouds)
    points = np.frombuffer(clouds[0].data, POINT)
    assert len(points) == 23 * 32
    np.testing.assert_allclose(points["z"], 2.0)
    assert set(points["label"][points["x"] < 0]) == {1}
    assert set(points["label"][points["x"] > 0]) == {2}


def test_diagnostics(graph):
    graph.add(SegmentationNode, build_fake_pipeline, device="cpu", **WORDS)
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    publish = graph.camera()

    def values_of(status):
        return {entry.key: entry.value for entry in status.values}

    # A rate takes two masks: on a busy machine the first report comes before them.
    graph.until(
        lambda: publish(STRIPES),
        lambda: heard and float(values_of(heard[-1].status[0])["rate_hz"]),
    )
    status = heard[-1].status[0]
    values = values_of(status)
    assert status.name == "segmentation_node"
    assert status.level == b"\x00", status.message
    assert (values["device"], values["dtype"]) == ("cpu", "float32")
    assert values["vocabulary_version"] == "1"
    assert float(values["rate_hz"]) > 0
    assert float(values["age_p95_ms"]) > 0


def test_words_that_no_image_is_compared_with_are_told(graph):
    words = ["red block", "green block", "blue block", "anvil"]

    def build(config):
        return Pipeline(ForgetfulSegmenter(), None, LivingVocabulary(config.vocabulary))

    graph.add(SegmentationNode, build, vocabulary__mode="fixed", vocabulary__names=words)
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    said = graph.listen(Log, "/rosout")
    publish = graph.camera()

    def told():
        return [
            status
            for message in heard
            for status in message.status
            if "not compared with 2 words" in status.message
        ]

    graph.until(lambda: publish(STRIPES), lambda: told() and any("left out" in m.msg for m in said))
    whole = next(s for s in told() if s.name == "segmentation_node")
    assert whole.level == b"\x01"
    assert "blue block, anvil" in whole.message
    assert {v.key: v.value for v in whole.values}["left_out"] == "2"
    image = image_to_msg(STRIPES, "rgb8", Image().header)
    asked = ["green block", "blue block", "anvil"]
    reply = graph.call(QuerySegmentation, "/segmentation_node/query", names=asked, image=image)
    assert reply.message == "present: green block; left out, too many names: anvil"


def test_parameters(graph):
    node = graph.add(SegmentationNode, build_fake_pipeline, overlay_alpha=1, **WORDS)
    assert node.config.overlay_alpha == 1.0  # an integer is meant as a float

    def change(name, value):
        return node.set_parameters([Parameter(name, value=value)])[0]

    assert change("overlay_alpha", 0.25).successful
    assert node.config.overlay_alpha == 0.25
    assert not change("overlay_alpha", 1.5).successful
    reply = change("mask_encoding", "16UC1")
    assert (reply.successful, reply.reason[:15]) == (False, "mask_encoding: ")
    assert "clean the node up" in reply.reason
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert change("mask_encoding", "16UC1").successful
    reply = change("mask_encoding", "jpeg")
    assert "expected one of 'mono8', '16UC1'" in reply.reason
    descriptor = node.describe_parameter("overlay_alpha")
    assert descriptor.description == "share of the colour in the overlay (live)"
    assert descriptor.floating_point_range[0].to_value == 1.0
    assert node.get_parameter("vocabulary.groups").value == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"overlay_alpha": 1.5}, r"overlay_alpha: expected a value in \[0.0, 1.0\], got 1.5"),
        ({"mask_encoding": "jpeg"}, "mask_encoding: expected one of"),
        ({"image_transport": 3}, "image_transport: expected str, got 3"),
        ({"vocabulary__mode": "fixed"}, "vocabulary.names: expected at least one"),
        ({"image_topics": ["/a", "/a"]}, "image_topics: expected distinct topics"),
    ],
)
def test_wrong_parameters_are_refused(graph, values, reason):
    with pytest.raises(ValueError, match=reason):
        graph.add(SegmentationNode, build_fake_pipeline, **values)


def test_masks_of_key_frames_are_carried_until_the_words_change(graph):
    segmenter = KeyFrameSegmenter()

    def build(config):
        return Pipeline(segmenter, None, LivingVocabulary(config.vocabulary))

    graph.add(SegmentationNode, build, keyframe_period_s=3600.0, **WORDS)
    masks = graph.listen(Image, f"{NODE}/label_mask")
    publish = graph.camera()
    moved = STRIPES[:, ::-1]
    graph.until(lambda: publish(STRIPES), lambda: masks)
    graph.until(lambda: publish(moved), lambda: len(masks) > 5)
    assert segmenter.batches == [1]
    np.testing.assert_array_equal(labels_from_msg(masks[-1]), labels_from_msg(masks[0]))
    assert stamp_from_msg(masks[-1].header.stamp) > stamp_from_msg(masks[0].header.stamp)
    graph.call(SetVocabulary, f"{NODE}/set_vocabulary", **fixed(["green block"]))
    graph.until(lambda: publish(moved), lambda: len(segmenter.batches) > 1)
    count = len(masks)
    graph.until(lambda: publish(moved), lambda: len(masks) > count + 1)
    np.testing.assert_array_equal(np.unique(labels_from_msg(masks[-1])), [0, 2])
