"""Parameters of every node; nothing here needs ROS or a model's library."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ovseg_ros.config import Config, describe, option
from ovseg_ros.pipeline import PipelineConfig
from ovseg_ros.presets import DEFAULT, node_options
from ovseg_ros.types import MAX_MONO8_ID


@dataclass(frozen=True, kw_only=True)
class NodeConfig(Config):
    """Parameters of every node."""

    autostart: bool = option(
        True, "configure and activate at the start; false: wait for a lifecycle manager"
    )


@dataclass(frozen=True, kw_only=True)
class ImageNodeConfig(NodeConfig, PipelineConfig):
    """Parameters of a node that looks at cameras, beside those of the preset."""

    preset: str = option(
        DEFAULT,
        "preset below the other parameters, by name or file; empty: none. Where a parameter file "
        "names the models, none is taken but the one it extends",
    )
    image_topics: tuple[str, ...] = option(("image",), "camera topics, all seen by one model")
    image_transport: str = option(
        "raw", "what the cameras send; compressed: TOPIC/compressed", choices=("raw", "compressed")
    )

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        if not self.image_topics or len(set(self.image_topics)) < len(self.image_topics):
            raise ValueError(f"image_topics: expected distinct topics, got {self.image_topics}")


@dataclass(frozen=True, kw_only=True)
class SegmentationNodeConfig(ImageNodeConfig):
    """Parameters of the segmentation node, beside those of the preset."""

    mask_encoding: str = option(
        "mono8", "encoding of the label mask; 16UC1 holds more ids", choices=("mono8", "16UC1")
    )
    overlay_alpha: float = option(0.55, "share of the colour in the overlay", low=0.0, high=1.0)
    threads: int = option(
        0,
        "CPU threads of segmentation; 0: as many as torch takes, which may starve others, Nav2 too",
        low=0,
        high=1024,
    )
    proposals_topic: str = option("discovery_node/proposals", "words that discovery found")
    query_timeout_s: float = option(30.0, "longest wait for a query's answer", low=0.1, high=3600.0)
    depth_topic: str = option("", "depth image for a labelled point cloud; empty: no cloud")
    camera_info_topic: str = option(
        "", "intrinsics of the images, for the cloud; empty: camera_info beside the first camera"
    )
    depth_slop_s: float = option(
        0.05, "largest difference of the stamps of depth and image", low=0.0, high=10.0
    )
    keyframe_period_s: float = option(
        1.0,
        "segmenters meant for key frames: how long a camera's masks are carried to later frames",
        low=0.0,
        high=3600.0,
    )
    cloud_layout: str = option(
        "unordered",
        "points with depth only, or one for every pixel of the mask (NaN where there is no depth)",
        choices=("unordered", "organized"),
    )
    cloud_stride: int = option(
        1, "unordered points: every n-th row and column of the depth image", low=1, high=64
    )
    mask_size: str = option(
        "image",
        "size of the masks and of confidence: that of the image, or that of the depth image for "
        "those who match masks with a depth camera's own points (each pixel's nearest label)",
        choices=("image", "depth"),
    )

    track_gap_s: float = option(
        1.0, "how long an object that is not seen keeps its track id", low=0.0, high=3600.0
    )
    instance_min_share: float = option(
        0.0005,
        "smallest object, as a share of the image, where the segmenter tells no objects apart",
        low=0.0,
        high=1.0,
    )

    def __post_init__(self) -> None:
        """Validate the options against each other."""
        super().__post_init__()
        if self.mask_encoding == "mono8" and self.vocabulary.max_categories > MAX_MONO8_ID:
            raise ValueError(
                f"mask_encoding: expected 16UC1 for vocabulary.max_categories > {MAX_MONO8_ID}, "
                f"got 'mono8' for {self.vocabulary.max_categories}"
            )
        if self.cloud_layout == "organized" and self.cloud_stride != 1:
            raise ValueError(
                f"cloud_stride: expected 1 for organized points, got {self.cloud_stride}"
            )
        if self.mask_size == "depth" and not self.depth_topic:
            raise ValueError("mask_size: expected a depth_topic for 'depth', got none")

    def used(self) -> tuple[str, ...]:
        """Return all but what only discovery reads."""
        return tuple(name for name in super().used() if name != "discovery")


@dataclass(frozen=True, kw_only=True)
class DiscoveryNodeConfig(ImageNodeConfig):
    """Parameters of the discovery node, beside those of the preset."""

    discovery_period_s: float = option(
        2.0, "least time between the starts of two discoveries", low=0.0, high=86_400.0
    )
    niceness: int = option(10, "how far discovery gives way to segmentation", low=0, high=19)
    threads: int = option(
        1, "CPU threads of a discovery; 0: as many as torch takes", low=0, high=1024
    )
    seed: int = option(0, "seed of the discoveries", low=0, high=2**32 - 1)
    vocabulary_topic: str = option(
        "segmentation_node/vocabulary", "words in force; in mode FIXED discovery rests"
    )
    discover_timeout_s: float = option(
        60.0, "longest wait for the answer of ~/discover", low=0.1, high=3600.0
    )

    def used(self) -> tuple[str, ...]:
        """Return all but what only segmentation reads."""
        return tuple(name for name in super().used() if name not in ("segmenter", "vocabulary"))


@dataclass(frozen=True, kw_only=True)
class CameraNodeConfig(NodeConfig):
    """Parameters of the camera node."""

    source: str = option(
        "sim", "sim (recorded robot cell), live (rendered, needs pybullet) or replay:PATH"
    )
    rate_hz: float = option(0.0, "pictures per second; 0: as recorded", low=0.0, high=1000.0)
    loop: bool = option(True, "start again after the last picture")
    frame_id: str = option("camera_optical_frame", "frame of the pictures")
    jpeg_quality: int = option(90, "quality of the compressed pictures", low=1, high=100)


@dataclass(frozen=True, kw_only=True)
class EvaluationNodeConfig(NodeConfig):
    """Parameters of the evaluation node."""

    segmentation: str = option("segmentation_node", "name of the segmentation node")
    discovery: str = option("discovery_node", "name of the discovery node")
    camera: str = option("camera", "namespace of the camera's ground truth")
    rate_hz: float = option(2.0, "most frames scored per second", low=0.01, high=1000.0)
    report_path: str = option("", "JSON file written on shutdown; empty: none")


NODES: dict[str, type[NodeConfig]] = {
    "segmentation_node": SegmentationNodeConfig,
    "discovery_node": DiscoveryNodeConfig,
    "camera_node": CameraNodeConfig,
    "evaluation_node": EvaluationNodeConfig,
}
"""Parameters of the nodes by their names."""


def preset_below(given: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Return the options of the preset below a node's given parameters, nested.

    That is the one a parameter file extends, else the one that ``preset`` names, else the default;
    none for parameters that name models by themselves, as those of a whole preset do.

    Raises:
        ValueError: if there is no such preset.
    """
    name = given.get("extends", given.get("preset"))
    if name is None and given.keys() & {"segmenter.name", "discovery.name"}:
        return {}
    name = DEFAULT if name is None else name
    return node_options(str(name), node) if name else {}


def check_known(given: Iterable[str], own: Collection[str]) -> None:
    """Refuse parameters that no node has; those of another node are let pass.

    Parameters for all nodes (``/**``, or ``-p`` for a process of two) reach each of them.

    Raises:
        ValueError: naming the parameter, and the closest ones that there are.
    """
    known = {"extends", "use_sim_time", "start_type_description_service", *own}
    known |= {leaf.name for config in NODES.values() for leaf in describe(config())}
    for name in sorted(given):
        if name not in known and not name.startswith("qos_overrides."):
            close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise ValueError(f"{name}: no node has such a parameter{hint}")
