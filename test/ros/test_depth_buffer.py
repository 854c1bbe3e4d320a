"""Depth for a picture: of its time, of its place, and still there when a slow mask is done."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from fakes import ColourSegmenter, build_fake_pipeline, picture
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from ovseg_ros.nodes import depth_buffer
from ovseg_ros.nodes.conversions import stamp_from_msg, stamp_to_msg
from ovseg_ros.nodes.depth_buffer import DepthBuffer, check_frames
from ovseg_ros.nodes.images import image_to_msg
from ovseg_ros.nodes.point_cloud import POINT, labelled_points
from ovseg_ros.nodes.segmentation_node import SegmentationNode
from ovseg_ros.pipeline import Pipeline
from ovseg_ros.vocabulary.living import LivingVocabulary

MS = 10**6


def at(stamp, frame_id=""):
    return Header(stamp=stamp_to_msg(stamp), frame_id=frame_id)


def depth(stamp):
    return Image(header=at(stamp))


def test_the_nearest_in_time():
    buffer = DepthBuffer()
    assert buffer.nearest(at(0)) == (None, 0.0)
    for stamp in (0, 33 * MS, 66 * MS):
        buffer.add(depth(stamp))
    found, apart_s = buffer.nearest(at(40 * MS))
    assert stamp_from_msg(found.header.stamp) == 33 * MS
    assert apart_s == pytest.approx(0.007)


def test_a_slow_mask_finds_the_depth_of_its_picture():
    buffer = DepthBuffer()
    for stamp in range(0, 3000 * MS, 33 * MS):
        buffer.add(depth(stamp))
        if stamp == 330 * MS:
            buffer.hold(at(330 * MS))
    assert buffer.nearest(at(330 * MS))[1] == 0.0
    assert buffer.nearest(at(660 * MS))[1] > 0.3  # one that nobody held is gone
    buffer.hold(at(2970 * MS))
    assert buffer.nearest(at(330 * MS))[1] > 1.0


def test_depth_may_come_after_its_picture():
    buffer = DepthBuffer()
    buffer.add(depth(0))
    buffer.hold(at(33 * MS))
    buffer.add(depth(33 * MS))
    assert buffer.nearest(at(33 * MS))[1] == 0.0


def test_large_depth_images_are_kept_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(depth_buffer, "MAX_BYTES", 1000)
    buffer = DepthBuffer()
    for stamp in range(5):
        buffer.add(Image(header=at(stamp * MS), data=bytes(400)))
    assert buffer.nearest(at(0))[1] == pytest.approx(0.003)
    buffer.add(Image(header=at(9 * MS), data=bytes(4000)))
    assert buffer.nearest(at(0))[1] == pytest.approx(0.009)


def test_frames():
    check_frames(at(0, "camera"), depth=at(0, "camera"), camera_info=at(0))
    check_frames(at(0), depth=at(0, "camera"))
    with pytest.raises(ValueError, match=r"depth: expected frame_id .camera.* got .infrared."):
        check_frames(at(0, "camera"), depth=at(0, "infrared"))
    with pytest.raises(ValueError, match="camera_info: expected frame_id 'camera'"):
        check_frames(at(0, "camera"), depth=at(0), camera_info=at(0, "other"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 2, 4, 5])
def test_intrinsics_that_are_no_numbers_give_no_points(place, value):
    camera = CameraInfo(width=4, height=4)
    camera.k = [2.0, 0.0, 1.5, 0.0, 2.0, 1.5, 0.0, 0.0, 1.0]
    ones = np.ones((4, 4), np.float32)
    assert len(labelled_points(ones, ones.astype(np.uint8), camera)) == 16
    camera.k[place] = value
    with pytest.raises(ValueError, match="camera_info: expected a calibrated camera"):
        labelled_points(ones, ones.astype(np.uint8), camera)


@pytest.mark.parametrize(("place", "value"), [(0, 1e-300), (4, 1e-9), (2, 1e308)])
def test_intrinsics_of_no_camera_give_no_points(place, value):
    camera = CameraInfo(width=4, height=4)
    camera.k = [2.0, 0.0, 1.5, 0.0, 2.0, 1.5, 0.0, 0.0, 1.0]
    camera.k[place] = value
    with pytest.raises(ValueError, match="camera_info: expected a camera, got one that looks"):
        labelled_points(np.ones((4, 4), np.float32), np.ones((4, 4), np.uint8), camera)


@pytest.mark.parametrize(
    "depth",
    [
        Image(height=60_000, width=60_000, step=120_000, encoding="16UC1"),
        Image(height=0, width=32, step=64, encoding="16UC1"),
        Image(height=24, width=32, step=96, encoding="rgb8", data=bytes(2304)),
    ],
    ids=["no data", "no rows", "no depth"],
)
def test_depth_that_lies_about_its_size_resizes_no_mask(graph, depth):
    node = graph.add(
        SegmentationNode,
        build_fake_pipeline,
        depth_topic="/depth",
        mask_size="depth",
        vocabulary__mode="fixed",
        vocabulary__names=["red block"],
    )
    masks = graph.listen(Image, "/segmentation_node/label_mask")
    publish = graph.camera()
    depths = graph.client.create_publisher(Image, "/depth", 5)
    stripes = picture("red block")

    def send():
        depth.header = graph.header()
        depths.publish(depth)
        publish(stripes, header=depth.header)

    graph.until(send, lambda: node.refused and len(masks) > 2)
    assert {(mask.height, mask.width) for mask in masks} == {stripes.shape[:2]}
    assert node._last_refusal.startswith("depth: ")


def test_points_at_30_hz_with_slow_masks(graph):
    """Masks of 1.2 s, and depth of 30 Hz that is forgotten after 0.7 s."""
    node = graph.add(
        SegmentationNode,
        lambda config: Pipeline(
            ColourSegmenter(delay_s=1.2), None, LivingVocabulary(config.vocabulary)
        ),
        depth_topic="/depth",
        vocabulary__mode="fixed",
        vocabulary__names=["red block", "green block"],
    )
    clouds = graph.listen(PointCloud2, "/segmentation_node/points")
    publish = graph.camera()
    depths = graph.client.create_publisher(Image, "/depth", 5)
    infos = graph.client.create_publisher(CameraInfo, "/camera_info", 5)
    info = CameraInfo(width=64, height=48)
    info.k = [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
    stripes = picture("red block", "green block")

    def send(frame_id="camera"):
        header = graph.header()
        header.frame_id = "camera"
        infos.publish(info)
        publish(stripes, header=header)
        depth_header = Header(stamp=header.stamp, frame_id=frame_id)
        depths.publish(image_to_msg(np.full((24, 32), 2000, np.uint16), "16UC1", depth_header))

    graph.until(send, lambda: clouds)
    assert set(np.frombuffer(clouds[0].data, POINT)["label"]) == {1, 2}
    assert node._cloud.trouble == ""
    graph.until(lambda: send("infrared"), lambda: "infrared" in node._cloud.trouble)


def test_why_there_are_no_points_is_told(graph):
    graph.add(
        SegmentationNode,
        build_fake_pipeline,
        depth_topic="/depth",
        vocabulary__mode="fixed",
        vocabulary__names=["red block"],
    )
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    publish = graph.camera()
    depths = graph.client.create_publisher(Image, "/depth", 5)
    infos = graph.client.create_publisher(CameraInfo, "/camera_info", 5)
    info = CameraInfo(width=64, height=48)
    info.k = [50.0, 0.0, 31.5, 0.0, 50.0, 23.5, 0.0, 0.0, 1.0]
    late_s = 1.0

    def send(*, depth, camera_info=False, frame_id="camera"):
        header = graph.header()
        publish(picture("red block"), header=header)
        if depth:
            stamp = stamp_to_msg(stamp_from_msg(header.stamp) - round(late_s * 1e9))
            header = Header(stamp=stamp, frame_id=frame_id)
            depths.publish(image_to_msg(np.full((24, 32), 2000, np.uint16), "16UC1", header))
        if camera_info:
            infos.publish(info)

    def until_told(level, text, **sent):
        def told():
            last = {s.name: (s.level, s.message) for m in heard[-2:] for s in m.status}
            found = last.get("segmentation_node: cloud", (b"", ""))
            return found[0] == level and text in found[1]

        graph.until(lambda: send(**sent), told)

    until_told(b"\x01", "no depth", depth=False)
    until_told(b"\x01", "no camera_info", depth=True)
    until_told(b"\x01", "s from the image, depth_slop_s is 0.05", depth=True, camera_info=True)
    late_s = 0.0
    until_told(b"\x01", "expected frame_id 'camera'", depth=True, frame_id="infrared")
    until_told(b"\x00", "points are published", depth=True)
