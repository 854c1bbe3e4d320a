"""Discovery, segmentation, camera and evaluation together, with colours instead of models."""

import itertools
import json
from importlib import import_module

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from fakes import COLOURS, build_fake_discoverer, build_fake_pipeline, picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ovseg_ros.msg import Category, Vocabulary
from ovseg_ros.nodes import camera_sources, evaluation_node
from ovseg_ros.nodes.camera_node import CameraNode
from ovseg_ros.nodes.camera_sources import Shot, Source, build_source
from ovseg_ros.nodes.conversions import vocabulary_from_msg
from ovseg_ros.nodes.discovery_node import DiscoveryNode
from ovseg_ros.nodes.evaluation_node import EvaluationNode
from ovseg_ros.nodes.images import image_from_msg, image_to_msg, labels_from_msg
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.srv import DiscoverVocabulary, SetVocabulary

STRIPES = picture("red block", "green block")
CAMERA = {"image_topics": ["/camera/image_raw"]}
QUICK = {**CAMERA, "discovery_period_s": 0.1}


def source(name=""):
    """Return stripes of two colours with ground truth; "blue block" is never to be seen."""
    labels = np.zeros(STRIPES.shape[:2], np.uint8)
    for i, colour in enumerate(COLOURS.values(), start=1):
        labels[(colour == STRIPES).all(-1)] = i
    shot = Shot(
        image=STRIPES,
        labels=labels,
        intrinsics=np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]),
        depth_m=np.full(STRIPES.shape[:2], 1.5, np.float32),
    )
    categories = tuple((name, ()) for name in COLOURS)
    return Source(shots=lambda: itertools.repeat(shot, 5), rate_hz=20.0, categories=categories)


def test_a_report_that_cannot_be_written_is_told_at_the_start(graph, tmp_path):
    (tmp_path / "file").write_text("")
    node = graph.add(EvaluationNode, up=False, report_path=str(tmp_path / "file" / "report.json"))
    assert not node.bring_up()


def test_the_whole_graph(graph, tmp_path):
    """The camera's words are discovered, segmented and found right; no name is stale."""
    path = tmp_path / "report.json"
    score = graph.add(EvaluationNode, report_path=str(path), rate_hz=50.0)
    graph.add(SegmentationNode, build_fake_pipeline, **CAMERA)
    graph.add(DiscoveryNode, build_fake_discoverer, **QUICK)
    graph.add(CameraNode, source)
    reports = graph.listen(DiagnosticArray, "/evaluation_node/report")

    graph.wait(lambda: score.report().get("miou_auto") and score.report()["frames_evaluated"] > 8)
    reply = graph.call(
        SetVocabulary,
        "/segmentation_node/set_vocabulary",
        names=["green block"],
        mode=SetVocabulary.Request.MODE_FIXED,
    )
    assert reply.success
    graph.wait(lambda: score.report().get("miou_fixed") is not None)
    reports.clear()  # the next one knows both scores
    graph.wait(lambda: reports)
    assert score.trigger_deactivate().name == "SUCCESS"

    report = json.loads(path.read_text())
    assert report["stale_name_masks"] == 0
    assert report["name_checked_masks"] > 8
    assert report["miou_fixed"] == 0.5
    assert report["vocabulary_precision"] == report["vocabulary_recall"] == 1.0
    assert report["vocabulary"][-1]["names"] == ["green block"]
    assert report["frames_in"] >= report["frames_segmented"] * 0.9 > 0
    assert 0 < report["age_ms"]["p50"] <= report["age_ms"]["p95"]
    assert report["segmentation_hz"] > 1
    events = report["events"]
    assert len(events["masks"]) == report["frames_segmented"]
    assert all(stamp < arrival for kind in ("frames", "masks") for stamp, arrival in events[kind])
    assert events["discoveries"]
    assert events["scores"][-1][1]["miou_auto"] is not None
    values = {entry.key: entry.value for entry in reports[0].status[0].values}
    assert values["stale_name_masks"] == "0"


def test_the_record_of_a_long_run_is_bounded(graph, monkeypatch):
    for name in ("_KEPT_EVENTS", "_KEPT_VOCABULARIES", "_KEPT_NAMES"):
        monkeypatch.setattr(evaluation_node, name, 20)
    node = graph.add(EvaluationNode)
    info = {"received_timestamp": 1, "source_timestamp": 1}
    mask = image_to_msg(np.ones((2, 2), np.uint8), "mono8", graph.header())
    for number in range(100):
        word = Category(id=1, name=f"word {number}", source=Category.SOURCE_AUTO, score=1.0)
        words = Vocabulary(session=str(number), version=1, categories=[word])
        node._on_vocabulary(words, info)
        mask.header.stamp.sec += 1
        node._on_mask(mask, info)
        node._on_truth(mask, info)
        node._on_proposals(words, info)
        node._on_timer()
    kept = [node._ages, node._timeline, node._discovered, node._frames, *node._events.values()]
    assert all(len(held) <= 60 for held in kept)
    assert node.report()["frames_segmented"] == 100


def test_discovery_rests_while_the_vocabulary_is_fixed(graph):
    graph.add(
        SegmentationNode,
        build_fake_pipeline,
        vocabulary__mode="fixed",
        vocabulary__names=["red block"],
    )
    node = graph.add(DiscoveryNode, build_fake_discoverer, discovery_period_s=0.05)
    graph.wait(lambda: node._known.version == 1)
    proposals = graph.listen(Vocabulary, "/discovery_node/proposals", latched=True)
    publish = graph.camera()
    for _ in range(10):
        publish(STRIPES)
        graph.wait(lambda: not node.worker._pending)
    assert proposals == []
    reply = graph.call(SetVocabulary, "/segmentation_node/set_vocabulary", names=[], mode=0)
    assert reply.success
    graph.until(lambda: publish(STRIPES), lambda: proposals)
    assert {c.name for c in proposals[0].categories} == {"red block", "green block"}


def test_discovery_waits_for_key_frames(graph):
    node = graph.add(
        DiscoveryNode,
        build_fake_discoverer,
        discovery_period_s=0.02,
        discovery__keyframes__drift=0.3,
        discovery__keyframes__repeats=1,
    )
    proposals = graph.listen(Vocabulary, "/discovery_node/proposals", latched=True)
    publish = graph.camera()
    graph.until(lambda: publish(STRIPES), lambda: proposals)
    taken = node.worker.received
    graph.until(lambda: publish(STRIPES), lambda: node.worker.received > taken + 10)
    assert len(proposals) == 1
    graph.until(lambda: publish(picture("blue block", "red block")), lambda: len(proposals) > 1)
    assert {c.name for c in proposals[1].categories} == {"blue block", "red block"}
    assert len(proposals) == 2
    graph.until(
        lambda: publish(picture("blue block", "red block")),
        lambda: float(node.report()["drift"]) < 0.3,
    )


def test_discover_service(graph):
    graph.add(DiscoveryNode, build_fake_discoverer)
    name = "/discovery_node/discover"
    reply = graph.call(DiscoverVocabulary, name)
    assert (reply.success, "no frame has come" in reply.message) == (False, True)
    corrupt = image_to_msg(STRIPES, "rgb8", graph.header())
    corrupt.data = corrupt.data[:9]
    reply = graph.call(DiscoverVocabulary, name, image=corrupt)
    assert (reply.success, reply.message[:12]) == (False, "image: data:")
    image = image_to_msg(picture("blue block"), "rgb8", graph.header())
    reply = graph.call(DiscoverVocabulary, name, image=image)
    assert reply.success
    assert [(c.name, c.id, c.score) for c in reply.categories] == [("blue block", 0, 1.0)]
    assert reply.header == image.header
    assert reply.duration > 0


def test_camera(graph):
    images = graph.listen(Image, "/camera/image_raw")
    jpegs = graph.listen(CompressedImage, "/camera/image_raw/compressed")
    infos = graph.listen(CameraInfo, "/camera/camera_info")
    depths = graph.listen(Image, "/camera/depth/image_raw")
    truths = graph.listen(Image, "/camera/ground_truth")
    graph.add(CameraNode, source, rate_hz=50.0)
    names = graph.listen(Vocabulary, "/camera/ground_truth_vocabulary", latched=True)
    graph.wait(lambda: len(images) > 6 and jpegs and infos and depths and truths and names)
    np.testing.assert_array_equal(image_from_msg(images[-1]), STRIPES)
    assert image_from_msg(jpegs[-1]).shape == STRIPES.shape
    assert set(np.unique(labels_from_msg(truths[-1]))) == {1, 2}
    assert vocabulary_from_msg(names[0]).names == tuple(COLOURS)
    assert (infos[-1].width, infos[-1].height, infos[-1].k[0]) == (64, 48, 50.0)
    assert (depths[-1].encoding, depths[-1].data[0] + 256 * depths[-1].data[1]) == ("16UC1", 1500)
    stamps = {(image.header.stamp.sec, image.header.stamp.nanosec) for image in images}
    assert len(stamps) == len(images)


def test_replay_of_a_folder_and_a_video(tmp_path):
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((32, 32, 3), 10 * i, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    shots = list(build_source(f"replay:{tmp_path}").shots())
    assert [int(shot.image[0, 0, 0]) for shot in shots] == [0, 10, 20]

    video = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 12.0, (32, 32))
    for _ in range(4):
        writer.write(np.full((32, 32, 3), (0, 0, 200), np.uint8))
    writer.release()
    film = build_source(f"replay:{video}")
    shots = list(film.shots())
    assert (len(shots), film.rate_hz) == (4, 12.0)
    assert abs(int(shots[0].image[16, 16, 0]) - 200) < 10


def test_what_is_no_picture_is_skipped(graph, tmp_path):
    for i in (0, 3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((32, 32, 3), 10 * i, np.uint8))
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "2.png").write_bytes(b"")
    images = graph.listen(Image, "/camera/image_raw")
    graph.add(CameraNode, source=f"replay:{tmp_path}", rate_hz=50.0)
    graph.wait(lambda: {int(image.data[0]) for image in images} == {0, 30})


def test_replay_of_a_bag(tmp_path):
    rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="needs rosbags: pip install rosbags")
    from rclpy.serialization import serialize_message
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    with rosbag2.Writer(tmp_path / "bag", version=9) as writer:
        topic = writer.add_connection("/camera", "sensor_msgs/msg/Image", typestore=store)
        for i in range(3):
            message = image_to_msg(STRIPES, "rgb8", Image().header)
            writer.write(topic, i * 10**9, serialize_message(message))
        cut = serialize_message(message)[:60]
        damaged = [writer.add_connection("/cut", "sensor_msgs/msg/Image", typestore=store)]
        for i, data in enumerate([cut, serialize_message(message), cut]):
            writer.write(damaged[0], i * 10**9, data)
    for topic, whole in (("/camera", 3), ("/cut", 1)):
        shots = replayed(tmp_path / "bag", topic)
        assert len(shots) == whole
        np.testing.assert_array_equal(shots[0].image, STRIPES)


def replayed(bag, topic):
    """Return the pictures of one topic that can be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(camera_sources, "camera_topics", lambda reader: [topic])
        shots, found = build_source(f"replay:{bag}").shots(), []
    while True:
        try:
            found.append(next(shots))
        except StopIteration:
            return found
        except ValueError as error:
            assert "a damaged message on /cut" in str(error)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("storage", ["MCAP", "SQLITE3"])
def test_a_bag_that_was_cut_off_is_shown_so_far_or_named(tmp_path, storage, kept):
    rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="needs rosbags: pip install rosbags")
    from rclpy.serialization import serialize_message
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    plugin = rosbag2.StoragePlugin[storage]
    bag = tmp_path / "bag"
    with rosbag2.Writer(bag, version=9, storage_plugin=plugin) as writer:
        topic = writer.add_connection("/camera", "sensor_msgs/msg/Image", typestore=store)
        for i in range(5):
            message = image_to_msg(STRIPES, "rgb8", Image().header)
            writer.write(topic, i * 10**9, serialize_message(message))
    (file,) = (path for path in bag.iterdir() if path.suffix != ".yaml")
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    try:
        for shot in build_source(f"replay:{bag}").shots():
            assert shot.image.shape == STRIPES.shape
    except ValueError as error:
        assert str(bag) in str(error)


def test_live_camera():
    pytest.importorskip("pybullet", reason="needs pybullet (no wheel for Python 3.12)")
    camera = build_source("live")
    shot = next(camera.shots())
    assert shot.image.shape == (480, 640, 3)
    assert shot.depth_m.shape == shot.labels.shape == (480, 640)
    named = {name for i, (name, _) in enumerate(camera.categories, 1) if (shot.labels == i).any()}
    assert {"table", "robot arm", "mug"} <= named


def test_live_camera_without_pybullet_is_refused(graph, monkeypatch):
    monkeypatch.setattr(
        import_module("ovseg_ros.nodes.camera_sources"), "find_spec", lambda name: None
    )
    with pytest.raises(ImportError, match="'live' needs pybullet"):
        build_source("live")
    assert not graph.add(CameraNode, up=False, source="live").bring_up()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("webcam", "expected sim, live or replay:PATH, got 'webcam'"),
        ("replay:", "expected sim, live or replay:PATH"),
        ("replay:/nowhere", "/nowhere does not exist"),
    ],
)
def test_a_wrong_source_is_refused(name, reason):
    with pytest.raises(ValueError, match=reason):
        build_source(name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found none"):
        build_source(f"replay:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n"),
        ("a.jpg", b"\xff\xd8\xff\xd9"),
        ("a.tiff", b"II*\0\xff\xff\xff\xff"),
    ],
)
def test_a_damaged_picture_of_a_replay_is_named_and_the_next_one_shown(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((4, 5, 3), np.uint8))
    shots = build_source(f"replay:{tmp_path}").shots()
    with pytest.raises(ValueError, match=f"source: .*{name}: not an image"):
        next(shots)
    assert next(shots).image.shape == (4, 5, 3)


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.bag"])
def test_a_damaged_bag_is_named(tmp_path, name):
    pytest.importorskip("rosbags", reason="a dependency of the tests: make installs it")
    (tmp_path / name).write_bytes(b"\x89MCAP0\r\n" + bytes(50))
    with pytest.raises(ValueError, match=f"source: .*{name} is not a bag, or a damaged one"):
        build_source(f"replay:{tmp_path / name}")
