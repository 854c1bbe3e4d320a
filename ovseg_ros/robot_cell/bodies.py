"""PyBullet bodies of everything that stands in the cell."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ovseg_ros.robot_cell import makes, meshes
from ovseg_ros.robot_cell.colors import sample_rgb
from ovseg_ros.robot_cell.description import Arm, Placed, Scene, Surface
from ovseg_ros.robot_cell.objects import BY_NAME
from ovseg_ros.robot_cell.textures import build_texture

ARM_JOINTS = tuple(range(7))
_ARMS = {"kuka": "kuka_iiwa/model.urdf", "panda": "franka_panda/panda.urdf"}
# Links that carry the paint of a toy; the rest keeps the maker's colours.
_PAINTED_LINKS = {"toy robot": (-1, 14), "race car": (0,), "bicycle": (-1, 0)}
_DARK = (0.16, 0.12, 0.08)


class Bodies:
    """Makes the bodies of one simulation; call `forget` when the simulation is reset."""

    def __init__(self, bullet: Any, data: str, folder: str) -> None:
        """Bind to a simulation.

        Args:
            bullet: its functions of PyBullet.
            data: folder of pybullet_data.
            folder: where generated textures may be written.
        """
        self._p, self._data, self._folder = bullet, data, Path(folder)
        self._textures: dict[str, int] = {}

    def forget(self) -> None:
        """Drop the ids that a reset made invalid."""
        self._textures.clear()

    def _texture(self, name: str) -> int:
        if name not in self._textures:
            path = self._folder / f"{name}.png"
            if not path.exists():
                cv2.imwrite(str(path), build_texture(name))
            self._textures[name] = self._p.loadTexture(str(path))
        return self._textures[name]

    def _body(self, shape: int, position: Any = (0, 0, 0), turn: Any = (0, 0, 0, 1)) -> int:
        return self._p.createMultiBody(0, -1, shape, position, turn)

    def _shape(self, kind: int, rgb: Any, **form: Any) -> int:
        return self._p.createVisualShape(kind, rgbaColor=(*rgb, 1.0), **form)

    def _paint(self, body: int, link: int, rgb: tuple[float, float, float]) -> None:
        self._p.changeVisualShape(body, link, rgbaColor=(*rgb, 1.0))

    def _quad(self, corners: np.ndarray, repeat: tuple[float, float], look: Surface) -> int:
        """A textured rectangle; corners float (4, 3) counter-clockwise seen from its front."""
        u, v = repeat
        return self._sheet(corners, [0, 1, 2, 0, 2, 3], [[0, 0], [u, 0], [u, v], [0, v]], look)

    def _sheet(self, corners: np.ndarray, faces: list[int], uvs: Any, look: Surface) -> int:
        """A flat textured body of corners (N, 3), the first three counter-clockwise."""
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        normal /= np.linalg.norm(normal)
        shape = self._shape(
            self._p.GEOM_MESH,
            look.rgb,
            vertices=corners.tolist(),
            indices=faces,
            uvs=uvs,
            normals=[normal.tolist()] * len(corners),
        )
        body = self._body(shape)
        if look.texture != "plain":
            self._cover(body, look.texture, look.rgb)
        return body

    def floor(self, scene: Scene, look: Surface) -> list[int]:
        """The floor; returns body ids, like all of these."""
        x0, x1, y0, y1 = _room(scene)
        z = scene.floor_z_m
        corners = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
        return [self._quad(corners, ((x1 - x0) / 1.2, (y1 - y0) / 1.2), look)]

    def walls(self, scene: Scene, look: Surface) -> list[int]:
        """Four walls that face the room."""
        x0, x1, y0, y1 = _room(scene)
        bottom, top = scene.floor_z_m, scene.floor_z_m + 4.0
        ends = [
            ((x0, y1), (x0, y0)),
            ((x1, y0), (x1, y1)),
            ((x0, y0), (x1, y0)),
            ((x1, y1), (x0, y1)),
        ]
        bodies = []
        for (ax, ay), (bx, by) in ends:  # b before a: the front side faces the room
            corners = np.array([[bx, by, bottom], [ax, ay, bottom], [ax, ay, top], [bx, by, top]])
            length = math.hypot(bx - ax, by - ay)
            bodies.append(self._quad(corners, (length / 1.1, 4.0 / 1.1), look))
        return bodies

    def table(self, scene: Scene) -> list[int]:
        """Top, edge and legs."""
        length, width, thick = scene.table_m
        x, y = length / 2, width / 2
        edge = tuple(0.85 * c for c in scene.table.rgb)
        drop = -scene.floor_z_m - thick
        boxes: list[tuple[Any, Any]] = []  # half extents, centre
        if scene.table_corners:
            bodies = self._rounded_top(scene, edge)
        else:
            top = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]])
            bodies = [self._quad(top, (1.0, width / length), scene.table)]
            boxes.append(((x, y, thick / 2), (0, 0, -thick / 2 - 0.001)))
        boxes += [
            ((0.03, 0.03, drop / 2), (sx * (x - 0.05), sy * (y - 0.05), -thick - drop / 2))
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
        for half, center in boxes:
            bodies.append(self._body(self._shape(self._p.GEOM_BOX, edge, halfExtents=half), center))
        return bodies

    def _rounded_top(self, scene: Scene, edge: Any) -> list[int]:
        """A table top that is a superellipse, wide enough for what stands in the corners."""
        length, width, thick = scene.table_m
        outline = meshes.superellipse(0.56 * length, 0.56 * width, scene.table_corners)  # (N, 2)
        count = len(outline)
        top = np.vstack([[[0, 0, 0]], np.hstack([outline, np.zeros((count, 1))])])
        fan = [c for k in range(count) for c in (0, 1 + k, 1 + (k + 1) % count)]
        body = self._sheet(top, fan, (top[:, :2] / length + 0.5).tolist(), scene.table)
        side = meshes.shaded_corners(meshes.prism(outline, -thick, -0.001))
        return [body, self._body(self._mesh_shape(*side, edge))]

    def tray(self, scene: Scene) -> int:
        """The tray on the table."""
        assert scene.tray is not None
        mesh = (
            meshes.rounded_tray(*scene.tray_m, scene.tray_corners)
            if scene.tray_corners
            else meshes.tray(*scene.tray_m)
        )
        corners, normals = meshes.shaded_corners(mesh)
        x, y, yaw = scene.tray_pose
        turn = self._p.getQuaternionFromEuler([0, 0, yaw])
        body = self._body(self._mesh_shape(corners, normals, scene.tray.rgb), (x, y, 0.001), turn)
        if scene.tray.texture.startswith("pattern"):
            self._cover(body, scene.tray.texture, scene.tray.rgb)
        return body

    def arm(self, arm: Arm) -> list[int]:
        """The robot arm in its first pose."""
        if arm.model == "jointed":
            return self._jointed(arm)
        body = self._p.loadURDF(
            _ARMS[arm.model],
            (*arm.xy_m, 0.0),
            self._p.getQuaternionFromEuler([0, 0, arm.yaw]),
            useFixedBase=True,
            globalScaling=arm.scale,
        )
        for joint, angle in zip(ARM_JOINTS, arm.joints, strict=True):
            self._p.resetJointState(body, joint, angle)
        if arm.rgb is not None:
            for link in range(-1, self._p.getNumJoints(body)):
                self._paint(body, link, arm.rgb)
        return [body]

    def _jointed(self, arm: Arm) -> list[int]:
        """An arm of no maker: a foot, three or four links between round joints, a gripper."""
        rng = np.random.default_rng(int((arm.joints[6] + 1) * 1e6))
        paint = np.array(arm.rgb or (0.8, 0.8, 0.8))
        dark = paint * rng.uniform(0.2, 1.0)
        thick = 0.055 * arm.scale * float(rng.uniform(0.6, 1.5))
        round_links = bool(rng.random() < 0.6)
        yaw, lean = arm.yaw + arm.joints[0], 0.35 * arm.joints[1]
        at = np.array([*arm.xy_m, 0.0])
        chain = [at, at + np.array([0, 0, float(rng.uniform(0.08, 0.3)) * arm.scale])]
        for number in range(int(rng.integers(2, 4))):
            length = arm.scale * float(rng.uniform(0.2, 0.45))
            way = (math.cos(yaw) * math.sin(lean), math.sin(yaw) * math.sin(lean), math.cos(lean))
            chain.append(chain[-1] + length * np.array(way))
            lean += 0.5 + 0.75 * (1 + arm.joints[2 + number])
        chain = [np.array([*p[:2], max(float(p[2]), thick)]) for p in chain]
        bodies = [self._link(chain[0], chain[0] + np.array([0, 0, 0.03]), 1.9 * thick, dark, True)]
        for number, (a, b) in enumerate(pairwise(chain)):
            slim = thick * (1 - 0.15 * number)
            bodies.append(self._link(a, b, slim, paint, round_links))
            bodies.append(self._ball(b, 1.25 * slim, dark if number % 2 else paint))
        return bodies + self._gripper(chain[-1], yaw, 0.5 * thick, dark)

    def _gripper(self, at: np.ndarray, yaw: float, thick: float, rgb: np.ndarray) -> list[int]:
        side = np.array([-math.sin(yaw), math.cos(yaw), 0]) * 2.5 * thick
        down = np.array([0.0, 0.0, -6 * thick])
        return [self._link(at + s * side, at + s * side + down, thick, rgb, False) for s in (-1, 1)]

    def _ball(self, at: np.ndarray, radius: float, rgb: np.ndarray) -> int:
        return self._body(self._shape(self._p.GEOM_SPHERE, rgb, radius=radius), at.tolist())

    def _link(self, a: np.ndarray, b: np.ndarray, r: float, rgb: np.ndarray, round_: bool) -> int:
        """A cylinder or a box of half width r from a to b."""
        way, length = b - a, max(1e-3, float(np.linalg.norm(b - a)))
        shape = (
            self._shape(self._p.GEOM_CYLINDER, rgb, radius=r, length=length)
            if round_
            else self._shape(self._p.GEOM_BOX, rgb, halfExtents=(r, 0.8 * r, length / 2))
        )
        pitch = math.acos(float(np.clip(way[2] / length, -1, 1)))
        turn = self._p.getQuaternionFromEuler([0, pitch, math.atan2(way[1], way[0])])
        return self._body(shape, ((a + b) / 2).tolist(), turn)

    def _cover(self, body: int, texture: str, rgb: Any) -> None:
        """Put a texture over a body with texture coordinates."""
        self._p.changeVisualShape(
            body,
            -1,
            textureUniqueId=self._texture(texture),
            rgbaColor=(*rgb, 1.0),
        )

    def _mesh_shape(self, corners: np.ndarray, normals: np.ndarray, rgb: Any) -> int:
        return self._shape(
            self._p.GEOM_MESH,
            rgb,
            vertices=corners.tolist(),
            indices=list(range(len(corners))),
            uvs=_wrap(corners).tolist(),
            normals=normals.tolist(),
            specularColor=(0.3, 0.3, 0.3),
        )

    def thing(self, item: Placed, support_z_m: float) -> list[int]:
        """One object, resting on a height."""
        if item.make:
            return self._made(item, support_z_m)
        kind = BY_NAME[item.category]
        if kind.source.startswith("urdf:"):
            return [self._toy(item, support_z_m)]
        parts = _parts(kind.source, self._data)
        roll, pitch, turn = np.deg2rad(kind.rests[item.rest])
        quaternion = self._p.multiplyTransforms(
            (0, 0, 0),
            self._p.getQuaternionFromEuler([0, 0, item.yaw]),
            (0, 0, 0),
            self._p.getQuaternionFromEuler([roll, pitch, turn]),
        )[1]
        rotation = np.array(self._p.getMatrixFromQuaternion(quaternion)).reshape(3, 3)
        every = np.vstack([part.vertices for part in parts]) * kind.stretch
        size = np.ptp(every, axis=0).max()
        scale = item.size_m / float(size) * np.array(kind.stretch)  # (3,)
        turned = item.size_m / size * every @ rotation.T
        low, high = turned.min(axis=0), turned.max(axis=0)
        position = (
            item.xy_m[0] - (low[0] + high[0]) / 2,
            item.xy_m[1] - (low[1] + high[1]) / 2,
            support_z_m - low[2] + 0.001,
        )
        if item.textured:
            shape = self._shape(
                self._p.GEOM_MESH,
                item.rgb,
                fileName=str(Path(self._data) / kind.source.split(":")[1]),
                meshScale=scale.tolist(),
            )
            return [self._body(shape, position, quaternion)]
        extra = _DARK if kind.name == "banana" else _band_color(item)
        bodies = []
        for index, rgb in zip(range(len(parts)), (item.rgb, extra), strict=False):
            corners, normals = _corners(kind.source, index, self._data)
            shape = self._mesh_shape(scale * corners, normals, rgb)
            bodies.append(self._body(shape, position, quaternion))
        if item.pattern:
            self._cover(bodies[0], item.pattern, item.rgb)
        return bodies

    def _made(self, item: Placed, support_z_m: float) -> list[int]:
        """Another make of an object: a body for every colour of it."""
        parts = makes.build(item.category, item.make)
        every = np.vstack([part.mesh.vertices for part in parts])
        low, high = every.min(axis=0), every.max(axis=0)
        scale = item.size_m / float((high - low).max())
        middle = (low + high) / 2 * [1, 1, 0] + low * [0, 0, 1]
        turn = self._p.getQuaternionFromEuler([0, 0, item.yaw])
        position = (*item.xy_m, support_z_m + 0.001)
        bodies = []
        for number, part in enumerate(parts):
            corners, normals = _made_corners(item.category, item.make, number)
            rgb = item.rgb if part.rgb is None else part.rgb
            shape = self._mesh_shape(scale * (corners - middle), normals, rgb)
            bodies.append(self._body(shape, position, turn))
        if item.pattern:
            self._cover(bodies[0], item.pattern, item.rgb)
        return bodies

    def _toy(self, item: Placed, support_z_m: float) -> int:
        """A toy that comes as a URDF."""
        kind = BY_NAME[item.category]
        body = self._p.loadURDF(
            kind.source.split(":")[1],
            (0, 0, 0),
            self._p.getQuaternionFromEuler([0, 0, item.yaw]),
            useFixedBase=True,
            globalScaling=item.size_m / kind.native_m,
        )
        boxes = np.array(
            [self._p.getAABB(body, link) for link in range(-1, self._p.getNumJoints(body))]
        )  # (links, low|high, xyz)
        low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
        base, turn = self._p.getBasePositionAndOrientation(body)
        shift = (
            item.xy_m[0] - (low[0] + high[0]) / 2,
            item.xy_m[1] - (low[1] + high[1]) / 2,
            support_z_m - low[2],
        )
        self._p.resetBasePositionAndOrientation(body, np.add(base, shift), turn)
        if item.category == "bicycle":
            for link in range(self._p.getNumJoints(body)):
                self._paint(body, link, _DARK)
        for link in _PAINTED_LINKS[item.category]:
            self._paint(body, link, item.rgb)
        return body


@cache
def _parts(source: str, data: str) -> tuple[meshes.Mesh, ...]:
    """Meshes of an "obj:" or "shape:" source: the painted one first."""
    kind, name = source.split(":")
    made = meshes.load_obj(Path(data) / name) if kind == "obj" else getattr(meshes, name)()
    return made if isinstance(made, tuple) else (made,)


@cache
def _corners(source: str, part: int, data: str) -> tuple[np.ndarray, np.ndarray]:
    return meshes.shaded_corners(_parts(source, data)[part])


@cache
def _made_corners(name: str, make: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    return meshes.shaded_corners(makes.build(name, make)[part].mesh)


def _band_color(item: Placed) -> tuple[float, float, float]:
    """Reflective band of a cone: white, gray on a white cone."""
    return sample_rgb("gray" if item.color == "white" else "white", np.random.default_rng(0))


def _wrap(corners: np.ndarray) -> np.ndarray:
    """Texture coordinates (N, 2) of corners (N, 3): a pattern seen from the side and from above."""
    extent = float(np.ptp(corners, axis=0).max()) or 1.0
    u = corners[:, 0] + 0.6 * corners[:, 1]
    v = corners[:, 2] + 0.6 * corners[:, 1]
    return np.stack([u, v], 1) / extent


def _room(scene: Scene) -> tuple[float, float, float, float]:
    a, b, c, d = scene.walls_m
    return -a, b, -c, d
