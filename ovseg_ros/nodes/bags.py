"""Recordings of ROS 2 (``.mcap``, ``.db3``) and ROS 1 (``.bag``): their cameras and pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

KINDS = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
"""Messages that hold pictures, by the names that a bag gives them."""

_MENDS = {
    ".mcap": "mcap recover FILE -o NEW.mcap",
    ".db3": "sqlite3 FILE .recover | sqlite3 NEW.db3",
    ".bag": "rosbag reindex FILE",
}
"""What saves what is left of a file that was cut off."""

_DEPTH = ("16UC1", "mono16", "32FC1", "64FC1", "32SC1")
_GREY = ("mono8", "8UC1")

OURS = "/segmentation_node/"
"""Part of the names of topics that are made from pictures."""


@contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """Open a bag for reading.

    Args:
        path: A folder with ``metadata.yaml``, one of its files, or a ``.bag`` file.

    Raises:
        ImportError: if rosbags is missing.
        ValueError: if it is no bag, or a damaged one.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ImportError(f"reading the bag {path} needs rosbags: pip install rosbags") from error
    inside = path.is_file() and path.suffix != ".bag" and (path.parent / "metadata.yaml").is_file()
    try:
        # Bags of ROS 2 before Iron do not say what their messages are like.
        store = get_typestore(Stores.ROS2_JAZZY)
        reader = AnyReader([path.parent if inside else path], default_typestore=store)
        reader.open()
    except Exception as error:  # each format has its own
        files = [path] if path.is_file() else sorted(path.glob("*"))
        mends = [_MENDS[file.suffix] for file in files if file.suffix in _MENDS][:1]
        saves = "".join(f"; `{command}` saves what is left" for command in mends)
        raise ValueError(f"{path} is not a bag, or a damaged one ({error}){saves}") from None
    try:
        yield reader
    finally:
        reader.close()


def messages(reader: AnyReader, connections: Collection[Any]) -> Iterator[tuple[Any, int, bytes]]:
    """Yield connection, time in nanoseconds and data of a bag's messages.

    Raises:
        ValueError: naming the bag where it is damaged.
    """
    try:
        yield from reader.messages(connections)
    except Exception as error:  # each format has its own
        raise ValueError(
            f"{reader.paths[0]} is damaged: {str(error) or type(error).__name__}"
        ) from None


def camera_topics(reader: AnyReader) -> list[str]:
    """Return the topics of cameras, sorted, as the first of their messages tell that can be read.

    Depth and what a segmentation node made are left out, grey pictures where there are others in
    colour, and the compressed topic of a camera that is there raw as well.

    Raises:
        ValueError: naming the bag if it is damaged.
    """
    looks: dict[str, str] = {}
    for connection in reader.connections:
        if connection.msgtype in KINDS and connection.msgcount and OURS not in connection.topic:
            for _, _, data in messages(reader, [connection]):
                with suppress(ValueError):
                    looks.setdefault(connection.topic, _look(message_of(reader, connection, data)))
                    break
    wanted = "colour" if "colour" in looks.values() else "grey"
    found = {topic for topic, look in looks.items() if look == wanted}
    return sorted(t for t in found if not (t.endswith("/compressed") and t[:-11] in found))


def _look(message: Image | CompressedImage) -> str:
    if isinstance(message, CompressedImage):
        return "depth" if "compressedDepth" in message.format else "colour"
    return (
        "depth" if message.encoding in _DEPTH else "grey" if message.encoding in _GREY else "colour"
    )


def message_of(reader: AnyReader, connection: Any, data: bytes) -> Image | CompressedImage:
    """Return a picture's message.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        return _message_of(reader, connection, data)
    except Exception as error:  # Fast CDR's own, a type that does not fit, no memory
        raise ValueError(
            f"a damaged message on {connection.topic}: {str(error) or type(error).__name__}"
        ) from None


def _message_of(reader: AnyReader, connection: Any, data: bytes) -> Image | CompressedImage:
    kind = KINDS[connection.msgtype]
    if reader.is2:
        return deserialize_message(bytes(data), kind)
    found: Any = reader.deserialize(data, connection.msgtype)
    message = kind()
    stamp = found.header.stamp
    message.header = Header(
        stamp=Time(sec=int(stamp.sec), nanosec=int(stamp.nanosec)), frame_id=found.header.frame_id
    )
    for name in kind.get_fields_and_field_types():
        value = getattr(found, name)
        if name == "data":
            message.data.frombytes(np.ascontiguousarray(value).tobytes())
        elif name != "header":
            setattr(message, name, value if isinstance(value, str) else int(value))
    return message
