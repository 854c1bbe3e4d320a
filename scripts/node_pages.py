"""Writes docs/nodes/: a page for each node, its parameters from the configuration.

python scripts/node_pages.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovseg_ros.config import Option, describe
from ovseg_ros.nodes.config import NODES
from ovseg_ros.pipeline import PipelineConfig

FOLDER = Path(__file__).parents[1] / "docs" / "nodes"

IMAGES = [
    ("`image`", "`sensor_msgs/Image`", "the camera; `image_topics` names several"),
    (
        "`image/compressed`",
        "`sensor_msgs/CompressedImage`",
        "in its place with `image_transport: compressed`",
    ),
]
DIAGNOSTICS = (
    "`/diagnostics`",
    "`diagnostic_msgs/DiagnosticArray`",
    "once a second: rate, age, drops, device, memory, and what is wrong",
)
ENABLE = ("`~/enable`", "`std_srvs/SetBool`", "false: take no images until true comes")

PAGES: dict[str, dict[str, Any]] = {
    "segmentation_node": {
        "about": "Labels every camera image with the words in force; owns the words and their ids.",
        "inputs": [
            *IMAGES,
            ("`discovery_node/proposals`", "`ovseg_ros/Vocabulary`", "words that discovery found"),
            (
                "`depth_topic`",
                "`sensor_msgs/Image`",
                "depth in metres or millimetres, if it is set",
            ),
            ("`camera_info`", "`sensor_msgs/CameraInfo`", "beside the image, with `depth_topic`"),
        ],
        "outputs": [
            ("`~/label_mask`", "`sensor_msgs/Image`", "category id of every pixel; 0: unlabelled"),
            ("`~/confidence`", "`sensor_msgs/Image`", "`mono8`, 0..255 for 0..1"),
            ("`~/categories`", "`ovseg_ros/FrameCategories`", "what the mask holds, and its age"),
            ("`~/overlay`", "`sensor_msgs/Image`", "the image with the categories' colours"),
            ("`~/instance_mask`", "`sensor_msgs/Image`", "`16UC1`, single objects, ids that stay"),
            (
                "`~/detections`",
                "`vision_msgs/Detection2DArray`",
                "boxes of the objects, `id` the track's; where vision_msgs is installed",
            ),
            ("`~/points`", "`sensor_msgs/PointCloud2`", "x y z rgb label, with `depth_topic`"),
            ("`~/vocabulary`", "`ovseg_ros/Vocabulary`", "latched, before the first mask with it"),
            (
                "`~/label_info`",
                "`vision_msgs/LabelInfo`",
                "the same, where vision_msgs is installed",
            ),
            ("`~/groups/label_mask`", "`sensor_msgs/Image`", "stable class of every pixel"),
            ("`~/groups/vocabulary`", "`ovseg_ros/Vocabulary`", "the stable classes, latched"),
            (
                "`~/groups/label_info`",
                "`vision_msgs/LabelInfo`",
                "the same, where vision_msgs is installed",
            ),
            DIAGNOSTICS,
        ],
        "services": [
            ("`~/set_vocabulary`", "`ovseg_ros/SetVocabulary`", "change the words"),
            ("`~/get_vocabulary`", "`ovseg_ros/GetVocabulary`", "the words in force"),
            ("`~/query`", "`ovseg_ros/QuerySegmentation`", "look for names in one image"),
            ENABLE,
        ],
    },
    "discovery_node": {
        "about": "Finds words in camera images, at a low rate.",
        "inputs": [
            *IMAGES,
            (
                "`segmentation_node/vocabulary`",
                "`ovseg_ros/Vocabulary`",
                "words in force; in mode FIXED discovery rests",
            ),
        ],
        "outputs": [
            ("`~/proposals`", "`ovseg_ros/Vocabulary`", "words found in one image, latched"),
            DIAGNOSTICS,
        ],
        "services": [
            ("`~/discover`", "`ovseg_ros/DiscoverVocabulary`", "find the words of one image now"),
            ENABLE,
        ],
    },
    "camera_node": {
        "about": "Publishes the recorded robot cell, a rendered one, or pictures, videos and bags.",
        "inputs": [],
        "outputs": [
            ("`camera/image_raw`", "`sensor_msgs/Image`", "`rgb8`"),
            ("`camera/image_raw/compressed`", "`sensor_msgs/CompressedImage`", "JPEG"),
            ("`camera/camera_info`", "`sensor_msgs/CameraInfo`", "intrinsics"),
            ("`camera/depth/image_raw`", "`sensor_msgs/Image`", "`16UC1`, millimetres"),
            ("`camera/ground_truth`", "`sensor_msgs/Image`", "true label of every pixel"),
            (
                "`camera/ground_truth_vocabulary`",
                "`ovseg_ros/Vocabulary`",
                "what the true labels mean, latched",
            ),
        ],
        "services": [],
    },
    "evaluation_node": {
        "about": "Scores masks against the camera's ground truth while they come.",
        "inputs": [
            ("`segmentation_node/label_mask`", "`sensor_msgs/Image`", "masks"),
            ("`segmentation_node/vocabulary`", "`ovseg_ros/Vocabulary`", "their words"),
            ("`segmentation_node/categories`", "`ovseg_ros/FrameCategories`", "which words count"),
            ("`discovery_node/proposals`", "`ovseg_ros/Vocabulary`", "words found"),
            ("`camera/ground_truth`", "`sensor_msgs/Image`", "true labels"),
            ("`camera/ground_truth_vocabulary`", "`ovseg_ros/Vocabulary`", "their words"),
        ],
        "outputs": [("`~/report`", "`diagnostic_msgs/DiagnosticArray`", "the score so far")],
        "services": [],
    },
}


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    shared = {leaf.name for leaf in describe(PipelineConfig())}
    written = {f"{name}.md": _page(name, shared) for name in PAGES}
    leaves = list(describe(PipelineConfig()))
    written["preset.md"] = (
        "# Options of presets\n\n"
        "The same for `segmentation_node`, `discovery_node`, `ovseg` and the library; `ovseg "
        "presets` lists the presets. A node declares those that have an effect.\n\n"
        + "\n".join(_parameters(leaves))
        + "\n"
    )
    return written


def _page(name: str, shared: set[str]) -> str:
    page = PAGES[name]
    leaves = list(describe(NODES[name]()))
    lines = [f"# {name}", "", page["about"], ""]
    lines += [f"Run: `ros2 run ovseg_ros {name}`", ""]
    for title, key, columns in (
        ("Inputs", "inputs", ("topic", "type", "what")),
        ("Outputs", "outputs", ("topic", "type", "what")),
    ):
        lines += [f"## {title}", "", *_table(columns, page[key]), ""]
    own = [leaf for leaf in leaves if leaf.name not in shared]
    lines += ["## Parameters", "", *_parameters(own), ""]
    if len(own) < len(leaves):
        lines += ["And those of presets: [preset.md](preset.md).", ""]
    lines += ["## Services", "", *_table(("service", "type", "what"), page["services"])]
    return "\n".join(lines).rstrip() + "\n"


def _parameters(leaves: list[Option]) -> list[str]:
    rows = [(f"`{leaf.name}`", f"`{leaf.value!r}`", _range(leaf), leaf.help) for leaf in leaves]
    return _table(("name", "default", "range", "what"), rows)


def _range(leaf: Option) -> str:
    if leaf.choices is not None:
        return ", ".join(f"`{choice}`" for choice in leaf.choices)
    low, high = ("" if end is None else f"{end:g}" for end in (leaf.low, leaf.high))
    return f"{low}..{high}" if low or high else ""


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["None."]
    cells = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    head = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    return [*head, *(f"| {row} |" for row in cells)]


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text)
        print(f"docs/nodes/{file}")
