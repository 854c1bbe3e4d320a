"""The layouts of RViz and Foxglove, for the names that a robot's topics have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ovseg_ros.presets import preset_folders

FILES = {"rviz": "rviz/ovseg.rviz", "foxglove": "foxglove/ovseg.json"}
"""The layouts that ship, for the default graph."""

_IMAGE, _INFO, _NODE = "/camera/image_raw", "/camera/camera_info", "/segmentation_node/"
_FRAME = "camera_optical_frame"
_NAME = re.compile(r"(~?/)?([A-Za-z_]\w*/)*([A-Za-z_]\w*)?", re.ASCII)
_OF_A_CAMERA = ("label_mask", "confidence", "categories", "overlay", "instance_mask", "detections")


def check_ros_name(option: str, name: str) -> None:
    """Refuse what is no name of a topic, node or namespace; an empty one is none and passes.

    Raises:
        ValueError: naming the option.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{option}: expected letters, digits, _ and / as ROS has, got {name!r}")


def layout(
    kind: str,
    *,
    namespace: str = "",
    image: str = "camera/image_raw",
    image_topics: Sequence[str] = (),
    frame: str = "",
) -> str:
    """Return a layout's text.

    Args:
        kind: rviz or foxglove.
        namespace: Namespace of the nodes.
        image: Camera topic; without a slash in front it is in the namespace.
        image_topics: Those of several cameras, of which the first one is shown.
        frame: Fixed frame of RViz, where it is not the frame of our camera node.

    Raises:
        ValueError: if there is no such kind, or a name is none of ROS.
        FileNotFoundError: if the layouts are not installed.
    """
    if kind not in FILES:
        raise ValueError(f"layout: expected {' or '.join(FILES)}, got {kind!r}")
    check_ros_name("namespace", namespace)
    for name in (image, *image_topics):
        check_ros_name("image", name)
    folders = (folder.parent for folder in preset_folders())
    found = next((f / FILES[kind] for f in folders if (f / FILES[kind]).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{FILES[kind]} is not installed")
    space = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
    topic = image_topics[0] if image_topics else image
    topic = topic if topic.startswith("/") else f"{space}/{topic}"
    camera = f"{camera_names(image_topics)[0]}/" if len(image_topics) > 1 else ""

    def renamed(match: re.Match[str]) -> str:
        rest = match[1]
        of_camera = rest in _OF_A_CAMERA or rest == "groups"
        return f"{space}{_NODE}{camera if of_camera else ''}{rest}"

    text = re.sub(rf"{_NODE}(\w+)", renamed, found.read_text())
    # By another name first, so that a topic that is called like ours is not renamed twice.
    text = text.replace(_INFO, "\0info").replace(_IMAGE, "\0image")
    text = text.replace("\0info", f"{topic.rpartition('/')[0]}/camera_info")
    text = text.replace("\0image", topic)
    return text.replace(_FRAME, frame) if frame else text


def camera_names(topics: Sequence[str]) -> list[str]:
    """Return a short distinct name for each camera topic.

    It is the topic without its last part, or the whole topic where that is not distinct:
    ``/front/image_raw`` is ``front``.
    """
    whole = [topic.strip("/~") for topic in topics]
    short = [name.rpartition("/")[0] or name for name in whole]
    return short if len(set(short)) == len(short) else whole


def write(kind: str, folder: Path, **options: str | Sequence[str]) -> Path:
    """Write a layout into a folder and return its file; options are those of :func:`layout`."""
    file = folder / Path(FILES[kind]).name
    file.write_text(layout(kind, **options))  # type: ignore[arg-type]
    return file
