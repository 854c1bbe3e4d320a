"""The PyBullet world: builds a sampled scene and renders it with the TinyRenderer (no GPU)."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from ovseg_ros.robot_cell.bodies import ARM_JOINTS, Bodies
from ovseg_ros.robot_cell.description import Scene, View
from ovseg_ros.robot_cell.instances import Member
from ovseg_ros.robot_cell.textures import backdrop

NEAR_M, FAR_M = 0.05, 12.0


@dataclass(frozen=True)
class Shot:
    """What the camera saw.

    Attributes:
        rgb: uint8 RGB (H, W, 3), without sensor noise.
        depth_m: float32 (H, W), distance along the optical axis.
        instances: uint8 (H, W), ids of `World.members`; 0 where nothing was hit.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    instances: np.ndarray


class _Client:
    """PyBullet's functions, for one simulation; pybullet_utils' client writes to stdout."""

    def __init__(self, bullet: Any) -> None:
        self._bullet, self._id = bullet, bullet.connect(bullet.DIRECT)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._bullet, name)
        return partial(found, physicsClientId=self._id) if callable(found) else found


def _connect() -> tuple[_Client, str]:
    """Start PyBullet without a window; return it and the folder of pybullet_data."""
    try:
        import pybullet
        import pybullet_data
    except ImportError as error:
        raise ImportError(
            "Rendering the robot cell needs pybullet: pip install pybullet"
        ) from error
    return _Client(pybullet), pybullet_data.getDataPath()


class World:
    """A simulated robot cell; use as a context manager, one per process."""

    def __init__(self) -> None:
        """Start PyBullet without a window.

        Raises:
            ImportError: if pybullet is missing; the message says how to install it.
        """
        self._p, data = _connect()
        self._closed = False
        self._p.setAdditionalSearchPath(data)
        self._folder = tempfile.TemporaryDirectory(prefix="ovseg_cell_")
        self._make = Bodies(self._p, data, self._folder.name)
        self._owner = np.zeros(1, np.uint8)  # body id -> instance id
        self._arm_body: int | None = None
        self.scene: Scene | None = None
        self.members: tuple[Member, ...] = ()

    def __enter__(self) -> World:
        """Return the world itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the world."""
        self.close()

    def close(self) -> None:
        """Stop PyBullet and delete the temporary textures."""
        if not self._closed:
            self._p.disconnect()
            self._folder.cleanup()
            self._closed = True

    def build(self, scene: Scene) -> tuple[Member, ...]:
        """Replace whatever stands in the world by a scene.

        Returns:
            The instances; `Shot.instances` holds their ids.
        """
        self._p.resetSimulation()
        self._make.forget()
        self._arm_body = None
        self.scene = scene
        owner: dict[int, int] = {}
        members: list[Member] = []

        def add(category: str, look: Any, bodies: list[int], in_tray: bool = False) -> None:
            member = Member(
                len(members) + 1, category, look.color, getattr(look, "material", None), in_tray
            )
            members.append(member)
            owner.update(dict.fromkeys(bodies, member.id))

        if scene.floor is not None:
            add("floor", scene.floor, self._make.floor(scene, scene.floor))
        if scene.wall is not None:
            add("wall", scene.wall, self._make.walls(scene, scene.wall))
        add("table", scene.table, self._make.table(scene))
        if scene.tray is not None:
            add("tray", scene.tray, [self._make.tray(scene)])
        if scene.arm is not None:
            bodies = self._make.arm(scene.arm)
            self._arm_body = bodies[0] if scene.arm.model != "jointed" else None
            add("robot arm", scene.arm, bodies)
        for item in scene.objects:
            bodies = self._make.thing(item, 0.008 if item.in_tray else 0.0)
            add(item.category, item, bodies, item.in_tray)
        self._owner = np.zeros(max(owner) + 2, np.uint8)  # the last entry stands for "no body"
        for body, instance in owner.items():
            self._owner[body] = instance
        self.members = tuple(members)
        return self.members

    def move_arm(self, joints: tuple[float, ...]) -> None:
        """Put the arm's seven joints at these angles (radians); without an arm, do nothing."""
        if self._arm_body is None:
            return
        for joint, angle in zip(ARM_JOINTS, joints, strict=True):
            self._p.resetJointState(self._arm_body, joint, angle)

    def render(self, view: View, size: tuple[int, int] = (640, 480)) -> Shot:
        """Render the scene.

        Args:
            view: the camera.
            size: width and height in pixels.

        Returns:
            The shot, all images of shape (height, width).

        Raises:
            RuntimeError: if no scene was built yet.
        """
        if self.scene is None:
            raise RuntimeError("World.render needs a scene: call build(scene) first")
        width, height = size
        light = self.scene.light
        _, _, rgba, buffer, bodies = self._p.getCameraImage(
            width,
            height,
            self._p.computeViewMatrix(view.eye, view.target, [0, 0, 1]),
            self._p.computeProjectionMatrixFOV(view.fov_y_deg, width / height, NEAR_M, FAR_M),
            lightDirection=light.direction,
            lightColor=light.color,
            lightDistance=3.0,
            shadow=1,
            lightAmbientCoeff=light.ambient,
            lightDiffuseCoeff=light.diffuse,
            lightSpecularCoeff=light.specular,
            renderer=self._p.ER_TINY_RENDERER,
            flags=self._p.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX,
        )
        rgb = np.reshape(np.asarray(rgba, np.uint8), (height, width, 4))[..., :3].copy()
        buffer = np.reshape(np.asarray(buffer, np.float32), (height, width))
        depth = FAR_M * NEAR_M / (FAR_M - (FAR_M - NEAR_M) * buffer)
        bodies = np.reshape(np.asarray(bodies, np.int64), (height, width))
        index = np.where(bodies < 0, -1, bodies & ((1 << 24) - 1))
        instances = self._owner[index]
        if self.scene.backdrop != "plain" or self.scene.worn:
            behind = backdrop(self.scene.backdrop, self.scene.backdrop_rgb, size)
            rgb = np.where((instances == 0)[..., None], behind, rgb)
        return Shot(rgb, depth.astype(np.float32), instances)
