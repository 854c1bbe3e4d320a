"""The description of a scene: what stands where, how it looks, and where the cameras are."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Surface:
    """How a floor, wall, table or tray looks.

    Attributes:
        color: colour word, or None where the material says it all.
        material: "wooden" or None.
        texture: name of a texture in `textures`, "plain" for none.
        rgb: paint, each 0..1; multiplies the texture.
    """

    color: str | None
    material: str | None
    texture: str
    rgb: RGB


@dataclass(frozen=True)
class Placed:
    """One object at rest; the z of its lowest point follows from what it stands on.

    Attributes:
        category: name in the catalogue.
        color: colour word, or None for a look without one (a soccer ball).
        material: material word or None.
        rgb: paint, each 0..1.
        textured: whether the mesh keeps its own texture.
        size_m: longest side in metres.
        xy_m: position of the centre on the table; the table's centre is the origin.
        yaw: radians about the vertical.
        rest: index into the catalogue entry's rest poses.
        in_tray: whether it stands in the tray instead of on the table.
        pattern: texture over the paint, see `textures`; "" for none.
        make: 0 for the catalogue's mesh, or one of its other `makes`.
    """

    category: str
    color: str | None
    material: str | None
    rgb: RGB
    textured: bool
    size_m: float
    xy_m: tuple[float, float]
    yaw: float
    rest: int
    in_tray: bool
    pattern: str = ""
    make: int = 0


@dataclass(frozen=True)
class Arm:
    """A robot arm standing on the table.

    Attributes:
        model: "kuka", "panda", or "jointed" for one of no maker, built from its seven numbers.
        xy_m: position of the base; yaw: radians; scale: of the original size.
        joints: seven joint angles in radians; of "jointed" numbers in -1..1.
        color: colour word and rgb its paint; both None for the maker's colours.
    """

    model: str
    xy_m: tuple[float, float]
    yaw: float
    scale: float
    joints: tuple[float, ...]
    color: str | None
    rgb: RGB | None


@dataclass(frozen=True)
class Light:
    """One distant light: direction towards it, colour, and the three Phong coefficients."""

    direction: tuple[float, float, float]
    color: RGB
    ambient: float
    diffuse: float
    specular: float


@dataclass(frozen=True)
class View:
    """A camera pose: eye and target in metres (world), vertical field of view, sensor seed."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    fov_y_deg: float
    sensor_seed: int


@dataclass(frozen=True)
class Scene:
    """Everything about one scene. World frame: table centre at the origin, z up, table top z = 0.

    `table_m` is length, width, thickness; `tray_m` length, width, height; `tray_pose` x, y, yaw;
    `floor_z_m` the floor's height (negative); `walls_m` distances of the walls at -x, +x, -y, +y.
    Where nothing stands the camera sees `backdrop`, a texture or "plain", times `backdrop_rgb`;
    `worn` says that the camera is a bad one (see `sensor.wear`).
    `table_corners` and `tray_corners` are the powers of superellipses: 2 is round, 0 square.
    """

    split: str
    index: int
    floor: Surface | None
    wall: Surface | None
    table: Surface
    tray: Surface | None
    arm: Arm | None
    objects: tuple[Placed, ...]
    light: Light
    views: tuple[View, ...]
    table_m: tuple[float, float, float]
    tray_m: tuple[float, float, float]
    tray_pose: tuple[float, float, float]
    floor_z_m: float
    walls_m: tuple[float, float, float, float]
    backdrop: str = "plain"
    backdrop_rgb: RGB = (1.0, 1.0, 1.0)
    worn: bool = False
    table_corners: float = 0.0
    tray_corners: float = 0.0
