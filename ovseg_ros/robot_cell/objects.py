"""The catalogue: what stands in the robot cell, by which name, in which sizes and colours."""

from __future__ import annotations

from dataclasses import dataclass

from ovseg_ros.robot_cell.colors import COLORS


@dataclass(frozen=True)
class ObjectType:
    """One category of the robot cell.

    Attributes:
        name: the noun a caption uses.
        source: "surface" (floor, wall, ...), "arm", "obj:PATH" or "urdf:PATH" inside
            pybullet_data, or "shape:NAME" for a builder in `meshes`.
        synonyms: other names that count as this category when scoring.
        size_m: range of the longest side in metres.
        native_m: longest side at scale 1, for URDF sources only.
        stretch: scale of the mesh along its own x, y, z before anything else.
        rests: stable poses as (roll, pitch, yaw) in degrees.
        colors: colour words it may be painted with; empty if never painted.
        default_color: word for its natural colour; None if it has no single one.
        default_share: probability of its natural look instead of a painted one.
        textured: whether the natural look uses the mesh's own texture.
        material: word for the natural look's material, or None.
        novel: True for objects that only the novel split shows.
    """

    name: str
    source: str
    synonyms: tuple[str, ...] = ()
    size_m: tuple[float, float] = (0.1, 0.15)
    native_m: float = 1.0
    stretch: tuple[float, float, float] = (1, 1, 1)
    rests: tuple[tuple[float, float, float], ...] = ((0, 0, 0),)
    colors: tuple[str, ...] = COLORS
    default_color: str | None = None
    default_share: float = 0.0
    textured: bool = False
    material: str | None = None
    novel: bool = False

    @property
    def movable(self) -> bool:
        """Whether it is a thing that lies on the table."""
        return self.source not in ("surface", "arm")


CATALOGUE: tuple[ObjectType, ...] = (
    ObjectType("floor", "surface", ("ground", "flooring")),
    ObjectType("wall", "surface", ("backdrop", "background")),
    ObjectType("table", "surface", ("desk", "tabletop", "workbench", "bench")),
    ObjectType("tray", "surface", ("bin", "platter"), size_m=(0.30, 0.44)),
    ObjectType("robot arm", "arm", ("arm", "manipulator", "robot manipulator", "robotic arm")),
    ObjectType(
        "mug",
        "obj:objects/mug.obj",
        ("cup", "coffee mug"),
        (0.11, 0.17),
        rests=((0, 0, 0), (0, 0, 0), (0, 0, 0), (90, 0, 0)),
    ),
    ObjectType(
        "duck",
        "obj:duck.obj",
        ("rubber duck", "toy duck", "duckling"),
        (0.13, 0.20),
        rests=((90, 0, 0),),
        default_color="yellow",
        default_share=0.35,
        textured=True,
    ),
    ObjectType(
        "teddy bear",
        "obj:teddy2_VHACD_CHs.obj",
        ("teddy", "bear", "toy bear"),
        (0.15, 0.24),
        default_color="brown",
        default_share=0.35,
    ),
    ObjectType("cube", "obj:cube.obj", ("block", "box"), (0.07, 0.13)),
    ObjectType(
        "soccer ball",
        "obj:soccerball.obj",
        ("football",),
        (0.12, 0.20),
        rests=((0, 0, 0), (70, 20, 0), (150, 60, 0)),
        colors=(),
        default_share=1.0,
        textured=True,
    ),
    ObjectType("ball", "obj:sphere_smooth.obj", ("sphere",), (0.08, 0.15)),
    ObjectType(
        "lego brick",
        "obj:lego/lego.obj",
        ("lego", "brick", "lego block", "toy brick"),
        (0.09, 0.14),
        rests=((90, 0, 0),),
    ),
    ObjectType(
        "jenga block",
        "obj:jenga/jenga.obj",
        ("jenga", "wooden block", "jenga brick"),
        (0.17, 0.25),
        stretch=(1.0, 0.34, 0.2),
        rests=((0, 0, 0), (0, 0, 0), (90, 0, 0), (0, 90, 0)),
        default_color="brown",
        default_share=0.75,
        textured=True,
        material="wooden",
    ),
    ObjectType(
        "domino",
        "obj:domino/domino.obj",
        ("domino tile", "domino piece"),
        (0.15, 0.22),
        rests=((0, 0, 0), (0, 90, 0)),
        colors=(),
        default_share=1.0,
        textured=True,
    ),
    ObjectType(
        "toy robot",
        "urdf:r2d2.urdf",
        ("r2d2", "droid", "robot toy"),
        (0.20, 0.30),
        0.93,
        default_color="blue",
        default_share=0.35,
    ),
    ObjectType(
        "race car",
        "urdf:racecar/racecar.urdf",
        ("racecar", "car", "toy car", "racing car"),
        (0.24, 0.36),
        0.5,
        default_color="blue",
        default_share=0.15,
    ),
    ObjectType("bowl", "shape:bowl", ("dish",), (0.15, 0.23)),
    ObjectType(
        "bottle", "shape:bottle", ("flask",), (0.22, 0.32), rests=((0, 0, 0), (0, 0, 0), (90, 0, 0))
    ),
    ObjectType(
        "traffic cone",
        "shape:traffic_cone",
        ("cone", "pylon", "safety cone"),
        (0.17, 0.27),
        default_color="orange",
        default_share=0.4,
    ),
    ObjectType(
        "banana",
        "shape:banana",
        ("plantain",),
        (0.18, 0.26),
        colors=("yellow", "green"),
        default_color="yellow",
        default_share=0.6,
    ),
    ObjectType("bunny", "obj:bunny.obj", ("rabbit", "toy rabbit"), (0.15, 0.23), novel=True),
    ObjectType("ring", "shape:ring", ("torus", "donut", "hoop"), (0.15, 0.22), novel=True),
    ObjectType(
        "bicycle",
        "urdf:bicycle/bike.urdf",
        ("bike", "toy bicycle", "cycle"),
        (0.28, 0.38),
        2.5,
        novel=True,
    ),
    ObjectType("pyramid", "shape:pyramid", (), (0.12, 0.18), novel=True),
)
BY_NAME: dict[str, ObjectType] = {kind.name: kind for kind in CATALOGUE}

SCENERY = tuple(kind.name for kind in CATALOGUE if not kind.movable)
"""Categories that fill much of every frame."""

# (colour, object) pairs that only the novel split shows; each word appears in train elsewhere.
HELD_OUT_PAIRS: frozenset[tuple[str, str]] = frozenset(
    {
        ("purple", "mug"),
        ("green", "duck"),
        ("red", "teddy bear"),
        ("orange", "cube"),
        ("blue", "ball"),
        ("pink", "lego brick"),
        ("white", "bowl"),
        ("yellow", "race car"),
    }
)


def category_names() -> tuple[str, ...]:
    """Names by category id; index 0 is "unlabelled"."""
    return ("unlabelled", *(kind.name for kind in CATALOGUE))


def category_id(name: str) -> int:
    """Category id (1..) of a catalogue name.

    Raises:
        ValueError: if the catalogue has no such name.
    """
    names = category_names()
    if name not in BY_NAME:
        raise ValueError(f"name must be one of {', '.join(names[1:])}; got {name!r}")
    return names.index(name)
