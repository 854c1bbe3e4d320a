"""Writing a new bag beside an old one, with messages of packages that rosbags does not know."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message

from ovseg_ros.whole_files import UNFINISHED

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.rosbag2 import Writer


@contextmanager
def as_ros2(source: Path) -> Iterator[Path]:
    """Give a bag as one of ROS 2: itself, or what a ROS 1 bag is converted to meanwhile."""
    if source.suffix != ".bag":
        yield source
        return
    from rosbags.convert import ConverterError, convert

    with TemporaryDirectory(prefix="ovseg-") as folder:
        target = Path(folder) / "ros2"
        try:
            convert([source], target, "mcap", 9, None, "file", None, None, (), (), (), ())
        except ConverterError as error:
            raise ValueError(f"{source} cannot be converted to ROS 2: {error}") from None
        yield target


@contextmanager
def new_bag(target: Path, reader: AnyReader) -> Iterator[Writer]:
    """Give a new bag, in the format of the old one, that is there once the body has ended.

    Until then it is in a hidden folder beside it, so that one of a run that was killed is not taken
    for a whole one; the next run of the same name deletes that folder.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer

    paths = [Path(str(path)) for path in reader.paths]
    files = [file for path in paths for file in ([path] if path.is_file() else path.iterdir())]
    mcap = any(file.suffix == ".mcap" for file in files)
    plugin = StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3
    folder = target.with_name(f".{target.name}{UNFINISHED}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Writer(folder / target.name, version=9, storage_plugin=plugin) as writer:
            yield writer
        (folder / target.name).rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class BagTopic:
    """A publisher whose messages go into a bag."""

    def __init__(self, output: BagOutput, connection: Any) -> None:
        """Publish through a connection of the bag."""
        self._output, self._connection = output, connection

    def get_subscription_count(self) -> int:
        """Return 1: the bag listens."""
        return 1

    def publish(self, message: Any) -> None:
        """Write a message at the time that the bag has come to."""
        data = serialize_message(message)
        self._output.writer.write(self._connection, self._output.now_ns, data)


class Unrecorded:
    """A publisher of a topic that is left out."""

    def get_subscription_count(self) -> int:
        """Return 0: nothing need be made."""
        return 0

    def publish(self, message: Any) -> None:
        """Do nothing."""


class BagOutput:
    """Makes publishers that write into a bag.

    Attributes:
        writer: The bag.
        now_ns: Time at which messages are written, in nanoseconds of the recording.
    """

    def __init__(self, writer: Writer) -> None:
        """Write at time 0 until told otherwise."""
        from rosbags.typesys import Stores, get_typestore

        self.writer, self.now_ns = writer, 0
        self._store = get_typestore(Stores.ROS2_JAZZY)

    def publisher(self, kind: type, topic: str, qos: QoSProfile) -> BagTopic:
        """Return the publisher of a topic with messages of a kind."""
        package = kind.__module__.partition(".")[0]
        msgtype = f"{package}/msg/{kind.__name__}"
        _define(self._store, package, msgtype)
        offered = _offered(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL)
        return BagTopic(
            self,
            self.writer.add_connection(
                topic, msgtype, typestore=self._store, offered_qos_profiles=[offered]
            ),
        )

    def copy(self, reader: AnyReader, connection: Any) -> Any:
        """Return a connection like one of another bag, for messages as they are."""
        known = connection.msgdef.data and connection.digest
        return self.writer.add_connection(
            connection.topic,
            connection.msgtype,
            typestore=None if known else reader.typestore,
            msgdef=connection.msgdef.data if known else None,
            rihs01=connection.digest if known else None,
            serialization_format=connection.ext.serialization_format,
            offered_qos_profiles=connection.ext.offered_qos_profiles,
        )


def _define(store: Any, package: str, msgtype: str) -> None:
    """Teach a type store the messages of a package that rosbags does not know."""
    from rosbags.typesys import get_types_from_msg

    if msgtype in store.fielddefs:
        return
    types: dict[str, Any] = {}
    for file in _definitions(package).glob("*.msg"):
        types |= get_types_from_msg(file.read_text(), f"{package}/msg/{file.stem}")
    store.register({name: fields for name, fields in types.items() if name not in store.fielddefs})


def _definitions(package: str) -> Path:
    """Return the folder with the messages of an installed package."""
    # ament_index_python knows nothing but sourced workspaces; `make` needs none.
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    folders = [Path(prefix) / "share" / package / "msg" for prefix in prefixes if prefix]
    return next((folder for folder in folders if folder.is_dir()), folders[-1])


def _offered(latched: bool) -> Any:
    """Return the QoS that `ros2 bag play` offers for a topic."""
    from rosbags.interfaces import (
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )

    forever = QosTime(2147483647, 4294967295)
    offered = Qos(
        history=QosHistory.KEEP_LAST,
        depth=10,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )
    if latched:
        return offered._replace(depth=1, durability=QosDurability.TRANSIENT_LOCAL)
    return offered
