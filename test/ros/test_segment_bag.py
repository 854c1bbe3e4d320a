"""`ovseg segment BAG -o BAG`: the topics of the nodes in a copy of a recording."""

import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="a dependency of the tests")

from fakes import ColourSegmenter, build_fake_discoverer, picture
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String

from ovseg_ros.codecs.pictures import encode
from ovseg_ros.msg import FrameCategories, Vocabulary
from ovseg_ros.nodes.camera_sources import build_source
from ovseg_ros.nodes.conversions import stamp_to_msg
from ovseg_ros.nodes.images import image_to_msg, jpeg_to_msg, labels_from_msg
from ovseg_ros.nodes.segment_bag import segment_bag
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.vocabulary.living import LivingVocabulary

STRIPES = picture("red block", "green block")
SECOND = 10**9
PLUGINS = {"sqlite3": rosbag2.StoragePlugin.SQLITE3, "mcap": rosbag2.StoragePlugin.MCAP}


def build(config):
    """Return a pipeline whose words are colours."""
    discoverer = None if config.discovery.name == "none" else build_fake_discoverer(config)
    return Pipeline(ColourSegmenter(), discoverer, LivingVocabulary(config.vocabulary))


def record(path, topics, *, storage="sqlite3", seconds=4):
    """Write a bag: every second one message of each topic, made by a function of its stamp."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with rosbag2.Writer(path, version=9, storage_plugin=PLUGINS[storage]) as writer:
        connections = {}
        for second, (topic, make) in itertools.product(range(1, seconds + 1), topics.items()):
            message = make(stamp_to_msg(second * SECOND))
            if topic not in connections:
                kind = f"{type(message).__module__.partition('.')[0]}/msg/{type(message).__name__}"
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], second * SECOND, serialize_message(message))
    return path


def raw(stamp):
    return image_to_msg(STRIPES, "rgb8", Header(stamp=stamp, frame_id="camera"))


def depth(stamp):
    return image_to_msg(np.ones((4, 4), np.uint16), "16UC1", Header(stamp=stamp))


def jpeg(stamp):
    return jpeg_to_msg(encode(STRIPES), Header(stamp=stamp))


def text(stamp):
    return String(data=f"at {stamp.sec}")


def messages(path):
    """Return (time, message) of every message of a bag, by topic, in their order."""
    kinds = {
        "sensor_msgs/msg/Image": Image,
        "sensor_msgs/msg/CompressedImage": CompressedImage,
        "std_msgs/msg/String": String,
        "ovseg_ros/msg/Vocabulary": Vocabulary,
        "ovseg_ros/msg/FrameCategories": FrameCategories,
    }
    found = {}
    with AnyReader([path]) as reader:
        for connection, stamp, data in reader.messages():
            if connection.msgtype in kinds:
                message = deserialize_message(bytes(data), kinds[connection.msgtype])
                found.setdefault(connection.topic, []).append((stamp, message))
    return found


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_given_words(tmp_path, storage):
    topics = {"/camera/image_raw": raw, "/camera/depth": depth, "/chatter": text}
    bag = record(tmp_path / "in", topics, storage=storage)
    words = {"discovery.name": "none", "vocabulary.mode": "fixed"}
    words["vocabulary.names"] = ["red block", "green block"]
    done = segment_bag(bag, tmp_path / "out", preset="robot_cell", fixed=words, build=build)
    assert (done.cameras, done.frames, done.copied) == (("/camera/image_raw",), 4, 12)
    assert done.names == ("red block", "green block")
    found = messages(tmp_path / "out")
    before = messages(bag)
    assert {topic: found[topic] for topic in topics} == before
    masks = found["/segmentation_node/label_mask"]
    assert [stamp for stamp, _ in masks] == [n * SECOND for n in range(1, 5)]
    for (_, mask), (_, image) in zip(masks, before["/camera/image_raw"], strict=True):
        assert mask.header == image.header
        labels = labels_from_msg(mask)
        assert (labels[0, 0], labels[0, -1]) == (1, 2)
    ((stamp, vocabulary),) = found["/segmentation_node/vocabulary"]
    assert stamp == SECOND
    assert [category.name for category in vocabulary.categories] == ["red block", "green block"]
    frame = found["/segmentation_node/categories"][-1][1]
    assert {category.name for category in frame.categories} == {"red block", "green block"}
    assert len(frame.instances) == 2  # objects are followed as well
    assert [one[1].instances[0].track_id for one in found["/segmentation_node/categories"]] == [
        frame.instances[0].track_id
    ] * 4
    for topic in ("confidence", "overlay", "instance_mask", "groups/label_mask"):
        assert len(found[f"/segmentation_node/{topic}"]) == 4
    assert any(
        file.suffix == {"mcap": ".mcap"}.get(storage, ".db3")
        for file in (tmp_path / "out").iterdir()
    )


def test_the_vocabulary_is_latched_for_who_plays_it(tmp_path):
    bag = record(tmp_path / "in", {"/camera": raw})
    segment_bag(bag, tmp_path / "out", preset="robot_cell", build=build)
    with AnyReader([tmp_path / "out"]) as reader:
        latched = {
            connection.topic
            for connection in reader.connections
            if connection.ext.offered_qos_profiles
            and connection.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
        }
    assert {"/segmentation_node/vocabulary", "/segmentation_node/groups/vocabulary"} <= latched
    assert "/segmentation_node/label_mask" not in latched


def test_words_are_discovered_from_the_first_pictures_on(tmp_path):
    bag = record(tmp_path / "in", {"/camera": raw}, seconds=8)
    done = segment_bag(bag, tmp_path / "out", preset="robot_cell", overlay=False, build=build)
    assert set(done.names) == {"red block", "green block"}
    found = messages(tmp_path / "out")
    # In every picture until two have seen the words; then every two seconds.
    assert [s // SECOND for s, _ in found["/discovery_node/proposals"]] == [1, 2, 4, 6, 8]
    masks = [labels_from_msg(mask).any() for _, mask in found["/segmentation_node/label_mask"]]
    assert masks == [True] * 8
    assert "/segmentation_node/overlay" not in found


def test_a_bag_that_was_segmented_is_segmented_anew(tmp_path):
    bag = record(tmp_path / "in", {"/camera": raw})
    segment_bag(bag, tmp_path / "once", preset="robot_cell", build=build)
    done = segment_bag(tmp_path / "once", tmp_path / "twice", preset="robot_cell", build=build)
    assert (done.cameras, done.copied) == (("/camera",), 4)
    with AnyReader([tmp_path / "once"]) as reader:
        assert done.replaced == reader.message_count - 4 > 0
    assert len(messages(tmp_path / "twice")["/segmentation_node/label_mask"]) == 4


def test_what_a_robot_in_a_namespace_recorded_is_kept(tmp_path):
    mask = "/robot1/segmentation_node/label_mask"
    bag = record(tmp_path / "in", {"/camera": raw, mask: raw, "/my_segmentation_node/x": text})
    done = segment_bag(bag, tmp_path / "out", preset="robot_cell", build=build)
    assert (done.cameras, done.copied, done.replaced) == (("/camera",), 12, 0)
    found = messages(tmp_path / "out")
    assert len(found[mask]) == len(found["/my_segmentation_node/x"]) == 4


def test_cameras(tmp_path):
    topics = {"/left/image": raw, "/right/image/compressed": jpeg, "/left/image/compressed": jpeg}
    bag = record(tmp_path / "in", topics)
    done = segment_bag(bag, tmp_path / "both", preset="robot_cell", build=build)
    assert done.cameras == ("/left/image", "/right/image/compressed")
    found = messages(tmp_path / "both")
    assert len(found["/segmentation_node/left/label_mask"]) == 4
    assert len(found["/segmentation_node/right/image/label_mask"]) == 4
    done = segment_bag(
        bag, tmp_path / "one", preset="robot_cell", topics=["/right/image/compressed"], build=build
    )
    assert len(messages(tmp_path / "one")["/segmentation_node/label_mask"]) == done.frames == 4


def test_a_picture_that_cannot_be_read_is_counted(tmp_path):
    def damaged(stamp):
        message = raw(stamp)
        if stamp.sec == 2:
            message.data = message.data[:10]
        return message

    done = segment_bag(
        record(tmp_path / "in", {"/camera": damaged}),
        tmp_path / "out",
        preset="robot_cell",
        build=build,
    )
    assert (done.frames, done.refused) == (3, 1)
    assert "/camera: data: expected at least" in done.reason


def test_a_message_that_cannot_be_read_is_counted(tmp_path, monkeypatch):
    serialize = serialize_message
    monkeypatch.setitem(
        record.__globals__,
        "serialize_message",
        lambda m: serialize(m)[:60] if m.header.stamp.sec == 1 else serialize(m),
    )
    bag = record(tmp_path / "in", {"/camera": raw})
    done = segment_bag(bag, tmp_path / "out", preset="robot_cell", build=build)
    assert (done.frames, done.refused, done.copied) == (3, 1, 4)
    assert "a damaged message on /camera" in done.reason


@pytest.mark.parametrize("storage", PLUGINS)
def test_a_bag_that_was_cut_off_is_named_and_leaves_nothing_behind(tmp_path, storage):
    bag = record(tmp_path / "in", {"/camera": raw}, storage=storage)
    (file,) = (path for path in bag.iterdir() if path.suffix != ".yaml")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    saves = {"sqlite3": "sqlite3 FILE .recover", "mcap": "mcap recover FILE"}[storage]
    with pytest.raises(ValueError, match=f"{bag}.*`{saves} .*` saves what is left$"):
        segment_bag(bag, tmp_path / "out", preset="robot_cell", build=build)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"topics": ["/nowhere"]},
            "--topic: expected a camera of .*got /nowhere; its topics are /camera",
        ),
        ({"target": "in"}, "is there already"),
        ({"sets": ["cloud_stride=0"]}, "cloud_stride"),
        ({"preset": "nowhere"}, "preset: expected"),
    ],
)
def test_mistakes_leave_nothing_behind(tmp_path, change, message):
    bag = record(tmp_path / "in", {"/camera": raw})
    target = tmp_path / change.pop("target", "out")
    with pytest.raises(ValueError, match=message):
        segment_bag(bag, target, **{"preset": "robot_cell", "build": build, **change})
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_run_that_fails_leaves_nothing_behind(tmp_path):
    class Failing(ColourSegmenter):
        def segment(self, images, vocabulary):
            raise MemoryError("too large")

    def failing(config):
        return Pipeline(Failing(), None, LivingVocabulary(config.vocabulary))

    bag = record(tmp_path / "in", {"/camera": raw})
    with pytest.raises(MemoryError):
        segment_bag(bag, tmp_path / "out", preset="robot_cell", build=failing)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_run_that_is_killed_leaves_nothing_that_looks_like_a_bag(tmp_path):
    there = []

    class Watching(ColourSegmenter):
        def segment(self, images, vocabulary):
            there.append(sorted(path.name for path in tmp_path.iterdir()))
            return super().segment(images, vocabulary)

    def watching(config):
        return Pipeline(Watching(), None, LivingVocabulary(config.vocabulary))

    bag = record(tmp_path / "in", {"/camera": raw})
    (tmp_path / ".out.part" / "out").mkdir(parents=True)  # of a run that was killed before
    done = segment_bag(bag, tmp_path / "out", preset="robot_cell", build=watching)
    assert there == [[".out.part", "in"]] * done.frames != []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def ros1(path):
    """Write a bag of ROS 1."""
    from rosbags.rosbag1 import Writer

    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    header_type, image_type = types["std_msgs/msg/Header"], types["sensor_msgs/msg/Image"]
    time_type = types["builtin_interfaces/msg/Time"]
    with Writer(path) as writer:
        camera = writer.add_connection("/camera", "sensor_msgs/msg/Image", typestore=store)
        for n in range(1, 4):
            height, width = STRIPES.shape[:2]
            message = image_type(
                header=header_type(seq=n, stamp=time_type(sec=n, nanosec=5), frame_id="old"),
                height=height,
                width=width,
                encoding="rgb8",
                is_bigendian=0,
                step=3 * width,
                data=STRIPES.reshape(-1),
            )
            writer.write(camera, n * SECOND, store.serialize_ros1(message, camera.msgtype))
    return path


def test_a_bag_of_ros_1(tmp_path):
    bag = ros1(tmp_path / "old.bag")
    np.testing.assert_array_equal(next(build_source(f"replay:{bag}").shots()).image, STRIPES)
    done = segment_bag(bag, tmp_path / "out", preset="robot_cell", build=build)
    assert done.frames == 3
    found = messages(tmp_path / "out")
    assert found["/camera"][0][1].header.frame_id == "old"
    assert found["/segmentation_node/label_mask"][1][1].header.stamp == stamp_to_msg(2 * SECOND + 5)


def test_a_bag_without_definitions(tmp_path):
    """As ROS 2 before Iron wrote them."""
    import sqlite3

    bag = record(tmp_path / "in", {"/camera": raw, "/chatter": text})
    (file,) = Path(bag).glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM message_definitions")
        database.execute("UPDATE topics SET type_description_hash = ''")
    database.close()
    np.testing.assert_array_equal(next(build_source(f"replay:{bag}").shots()).image, STRIPES)
    done = segment_bag(bag, tmp_path / "out", preset="robot_cell", build=build)
    assert (done.frames, done.copied) == (4, 8)
