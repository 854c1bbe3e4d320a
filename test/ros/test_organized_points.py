"""Points and masks that fit each other pixel by pixel, as Nav2's layer wants them."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from fakes import build_fake_pipeline, picture
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, RegionOfInterest
from std_msgs.msg import Header

from ovseg_ros.nodes.config import SegmentationNodeConfig
from ovseg_ros.nodes.images import image_to_msg, labels_from_msg
from ovseg_ros.nodes.intrinsics import info_topic, is_distorted, rays
from ovseg_ros.nodes.point_cloud import POINT, cloud_to_msg, organized_points
from ovseg_ros.nodes.segmentation_node import SegmentationNode

WORDS = {"vocabulary__mode": "fixed", "vocabulary__names": ["red block", "green block"]}


def calibrated(width=8, height=6, *, k=(4.0, 3.5, 4.0, 2.5), p=None, **fields):
    """A camera with fx, cx, fy, cy of K, and of P if it is rectified."""
    info = CameraInfo(width=width, height=height, **fields)
    info.k = [k[0], 0.0, k[1], 0.0, k[2], k[3], 0.0, 0.0, 1.0]
    if p is not None:
        info.p = [p[0], 0.0, p[1], 0.0, 0.0, p[2], p[3], 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def test_k_where_p_is_not_set():
    x, y = rays(calibrated(), (6, 8))
    np.testing.assert_allclose(x, (np.arange(8) - 3.5) / 4)
    np.testing.assert_allclose(y, (np.arange(6) - 2.5) / 4)
    assert x.dtype == y.dtype == np.float32


def test_p_where_it_is_set():
    x, y = rays(calibrated(p=(2.0, 3.0, 5.0, 2.0)), (6, 8))
    np.testing.assert_allclose(x, (np.arange(8) - 3.0) / 2)
    np.testing.assert_allclose(y, (np.arange(6) - 2.0) / 5)


def test_a_region_of_interest_is_a_part_of_the_rays():
    whole, part = calibrated(p=(2.0, 3.0, 5.0, 2.0)), calibrated(p=(2.0, 3.0, 5.0, 2.0))
    part.roi = RegionOfInterest(x_offset=2, y_offset=1, width=4, height=3)
    x, y = rays(whole, (6, 8))
    got = rays(part, (3, 4))
    np.testing.assert_allclose(got[0], x[2:6])
    np.testing.assert_allclose(got[1], y[1:4])


@pytest.mark.parametrize("factor", [1, 2])
def test_binned_pixels_look_between_the_full_ones(factor):
    x, y = rays(calibrated(), (6, 8))
    binned = rays(calibrated(binning_x=factor, binning_y=factor), (6 // factor, 8 // factor))
    np.testing.assert_allclose(binned[0], x.reshape(-1, factor).mean(1))
    np.testing.assert_allclose(binned[1], y.reshape(-1, factor).mean(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": (0.0, 0.0, 0.0, 0.0)}, "expected a calibrated camera"),
        ({"k": (float("nan"), 0.0, 1.0, 0.0)}, "expected a calibrated camera"),
        ({"p": (float("inf"), 0.0, 1.0, 0.0)}, "expected a calibrated camera"),
        ({"width": 0}, "expected a calibrated camera"),
        ({"roi": RegionOfInterest(x_offset=5, width=4, height=6)}, "expected a region of interest"),
    ],
)
def test_wrong_intrinsics(change, message):
    with pytest.raises(ValueError, match=message):
        rays(calibrated(**change), (6, 8))


@pytest.mark.parametrize(
    ("images", "intrinsics"),
    [
        ("/front/image_raw", "/front/camera_info"),
        ("/front/color/image_rect_color", "/front/color/camera_info"),
        ("/image", "/camera_info"),
    ],
)
def test_intrinsics_are_beside_the_images(images, intrinsics):
    assert info_topic(images) == intrinsics


def test_distortion_matters_for_raw_images_only():
    bent = calibrated(d=[-0.3, 0.1, 0.0, 0.0, 0.0], distortion_model="plumb_bob")
    assert is_distorted(bent, "/front/image_raw")
    assert not is_distorted(bent, "/front/image_rect")
    assert not is_distorted(bent, "/front/image_rect_color")
    assert not is_distorted(calibrated(d=[0.0] * 5), "/rect/image_raw")


def test_one_point_for_every_pixel():
    depth = np.array([[1.0, 0.0], [np.nan, 2.0]], np.float32)
    labels = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 0, 0], [3, 3, 0, 0]], np.uint8)
    points = organized_points(depth, labels, calibrated(4, 4, k=(2.0, 1.5, 2.0, 1.5)))
    assert points.shape == (4, 4)
    assert points.dtype == POINT
    np.testing.assert_array_equal(points["label"], labels)
    known = np.kron([[1, 0], [0, 1]], np.ones((2, 2))).astype(bool)
    np.testing.assert_array_equal(np.isfinite(points["z"]), known)
    for axis in "xyz":
        assert np.isnan(points[axis][~known]).all()
    assert points["x"][3].tolist()[2:] == [0.5, 1.5]  # 2 m x (2 - 1.5) / 2, (3 - 1.5) / 2
    message = cloud_to_msg(points, Header(frame_id="camera"))
    assert (message.height, message.width, message.row_step) == (4, 4, 80)
    assert not message.is_dense
    assert bytes(message.data) == points.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cloud_layout": "organized", "cloud_stride": 2}, "cloud_stride: expected 1"),
        ({"mask_size": "depth"}, "mask_size: expected a depth_topic"),
        ({"cloud_layout": "grid"}, "cloud_layout"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationNodeConfig(**options)


@pytest.mark.parametrize(("mask_size", "expected"), [("image", (48, 64)), ("depth", (24, 32))])
def test_mask_confidence_and_points_have_one_size(graph, mask_size, expected):
    graph.add(
        SegmentationNode,
        build_fake_pipeline,
        depth_topic="/depth",
        cloud_layout="organized",
        mask_size=mask_size,
        image_topics=["/front/image_rect"],
        **WORDS,
    )
    names = ("label_mask", "confidence", "groups/label_mask")
    masks = {name: graph.listen(Image, f"/segmentation_node/{name}") for name in names}
    clouds = graph.listen(PointCloud2, "/segmentation_node/points")
    overlays = graph.listen(Image, "/segmentation_node/overlay")
    depth = graph.client.create_publisher(Image, "/depth", 5)
    info = graph.client.create_publisher(CameraInfo, "/front/camera_info", 5)
    graph.wait(lambda: depth.get_subscription_count() and info.get_subscription_count())
    publish = graph.camera("/front/image_rect")
    metres = np.ones((24, 32), np.float32)

    def send():
        header = graph.header()
        depth.publish(image_to_msg(metres, "32FC1", header))
        info.publish(calibrated(64, 48, header=header))
        return publish(picture("red block", "green block"), header)

    whole = []  # clouds of frames of which all else has come too

    def found():
        whole[:] = [
            cloud
            for cloud in list(clouds)
            if all(any(m.header == cloud.header for m in list(heard)) for heard in masks.values())
        ]
        return overlays and whole

    graph.until(send, found)
    cloud = whole[0]
    assert (cloud.height, cloud.width) == expected
    for heard in masks.values():
        mask = next(m for m in heard if m.header == cloud.header)
        assert (mask.height, mask.width) == expected
    values = labels_from_msg(next(m for m in masks["label_mask"] if m.header == cloud.header))
    points = np.frombuffer(cloud.data, POINT).reshape(expected)
    np.testing.assert_array_equal(points["label"], values)
    assert {overlay.height for overlay in overlays} == {48}
