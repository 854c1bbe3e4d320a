"""Rendering splits to disk: in parallel, with progress, and resumable scene by scene."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ovseg_ros.codecs.pictures import millimetres
from ovseg_ros.robot_cell.camera import camera_to_world, intrinsics
from ovseg_ros.robot_cell.captions import frame_captions
from ovseg_ros.robot_cell.dataset import read_records
from ovseg_ros.robot_cell.instances import visible_instances
from ovseg_ros.robot_cell.objects import CATALOGUE, HELD_OUT_PAIRS, category_names
from ovseg_ros.robot_cell.primitives import PrimitiveWorld
from ovseg_ros.robot_cell.recording import label_lookup
from ovseg_ros.robot_cell.scenes import sample_scene
from ovseg_ros.robot_cell.sensor import expose, wear
from ovseg_ros.robot_cell.world import World
from ovseg_ros.whole_files import write_json, write_text

RENDER_SIZE = (640, 480)
SCENES_PER_POOL = 240  # PyBullet keeps about 5 MB per built scene until its process ends


@dataclass(frozen=True)
class SplitPlan:
    """What a split holds by default: frames, (width, height), views per scene, depth or not."""

    count: int
    size: tuple[int, int]
    views: int
    depth: bool


PLANS: dict[str, SplitPlan] = {
    "train": SplitPlan(4800, (640, 480), 3, False),
    "val": SplitPlan(120, (640, 480), 2, True),
    "test": SplitPlan(200, (640, 480), 2, True),
    "novel": SplitPlan(120, (640, 480), 2, True),
    "wild": SplitPlan(120, (640, 480), 2, True),
    "primitives": SplitPlan(60, (480, 360), 2, True),
}


def render_split(
    root: str | Path,
    split: str,
    count: int | None = None,
    size: tuple[int, int] | None = None,
    workers: int = 2,
    seed: int = 0,
) -> Path:
    """Render a split, or the rest of one; the same arguments give the same files.

    Args:
        root: folder of the data set; the split becomes `root/split`.
        split: "train", "val", "test", "novel", "wild" or "primitives".
        count: number of frames (rounded up to whole scenes); None takes the benchmark's number.
        size: width and height; None takes the benchmark's. Smaller sizes are area-averaged
            from 640x480, so that training images look like scaled camera images.
        workers: number of processes.
        seed: seed of the data set; the benchmark is seed 0.

    Returns:
        The split's folder, laid out as `dataset` describes.

    Raises:
        ValueError: if `split` is unknown, `count` or `workers` is below 1, or the folder holds
            frames of another seed or size.
    """
    if split not in PLANS:
        raise ValueError(f"split must be one of {', '.join(PLANS)}; got {split!r}")
    plan = PLANS[split]
    count = plan.count if count is None else count
    size = plan.size if size is None else size
    for name, value in (("count", count), ("workers", workers)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    folder = Path(root) / split
    done = _prepare(folder, seed, size)
    wanted = [k for k in range(-(-count // plan.views)) if k not in done]
    job = partial(
        _render_scene, str(folder), split, views=plan.views, size=size, seed=seed, depth=plan.depth
    )
    context = multiprocessing.get_context("spawn")
    bar = tqdm(total=len(wanted) * plan.views, desc=f"render {split}", unit="frame")
    with open(folder / "frames.jsonl", "a") as index, bar:
        for start in range(0, len(wanted), SCENES_PER_POOL):
            batch = wanted[start : start + SCENES_PER_POOL]
            with ProcessPoolExecutor(workers, context, _start, (split,)) as pool:
                for records in pool.map(job, batch):
                    index.write("".join(json.dumps(record) + "\n" for record in records))
                    index.flush()
                    bar.update(len(records))
    return folder


def _prepare(folder: Path, seed: int, size: tuple[int, int]) -> set[int]:
    """Make the folders and the class table; return the scenes that are already complete."""
    for name in ("rgb", "labels", "instances", "depth"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table, index = folder / "classes.json", folder / "frames.jsonl"
    records = list(read_records(index)) if index.exists() else []
    for record in records[:1]:
        if (record["seed"], tuple(record["size"])) != (seed, size):
            raise ValueError(
                f"root holds {folder} rendered with seed {record['seed']} at {record['size']}; "
                f"seed {seed} at {list(size)} needs another folder"
            )
    if records and table.is_file():
        known = json.loads(table.read_text())["categories"]
        if known != list(category_names()):  # its ids would mean other things from now on
            raise ValueError(
                f"root holds {folder} rendered with other categories ({', '.join(known)}); "
                "delete it, or choose another folder"
            )
    write_json(table, class_table())
    views = {record["scene"]: record["views"] for record in records}
    seen = Counter(record["scene"] for record in records)
    complete = {k for k, total in views.items() if seen[k] == total}
    keep = [record for record in records if record["scene"] in complete]
    write_text(index, "".join(json.dumps(record) + "\n" for record in keep))
    return complete


def class_table() -> dict[str, Any]:
    """Category table that goes with every split, as written to classes.json."""
    return {
        "categories": list(category_names()),
        "synonyms": {kind.name: list(kind.synonyms) for kind in CATALOGUE},
        "novel": [kind.name for kind in CATALOGUE if kind.novel],
        "held_out_pairs": sorted([list(pair) for pair in HELD_OUT_PAIRS]),
    }


_world: World | PrimitiveWorld | None = None  # one world per worker process


def _start(split: str) -> None:
    global _world
    cv2.setNumThreads(1)
    _world = PrimitiveWorld() if split == "primitives" else World()


def _render_scene(
    folder: str,
    split: str,
    index: int,
    *,
    views: int,
    size: tuple[int, int],
    seed: int,
    depth: bool,
) -> list[dict[str, Any]]:
    """Render all views of a scene and return their records."""
    assert _world is not None
    scene = sample_scene(split, index, views, seed)
    members = _world.build(scene)
    lookup = label_lookup({member.id: member.category for member in members})
    records = []
    for number, view in enumerate(scene.views):
        larger = (max(size[0], RENDER_SIZE[0]), max(size[1], RENDER_SIZE[1]))
        if split == "primitives":  # of no size better than another
            larger = size
        shot = _world.render(view, larger)
        rgb, mask = shot.rgb, shot.instances
        if size != larger:
            rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        rgb = expose(rgb, view.sensor_seed)
        if scene.worn:
            rgb = wear(rgb, view.sensor_seed)
        name = f"{index:05d}_{number}"
        _write(Path(folder), name, rgb, mask, lookup[mask], shot.depth_m if depth else None, size)
        instances = visible_instances(members, mask)
        rng = np.random.default_rng((view.sensor_seed, 1))
        records.append(
            {
                "name": name,
                "scene": index,
                "view": number,
                "views": views,
                "seed": seed,
                "size": list(size),
                "depth": depth,
                "captions": list(frame_captions(instances, mask.size, rng)),
                "instances": [instance.to_json() for instance in instances],
                "intrinsics": np.round(intrinsics(view.fov_y_deg, size), 6).tolist(),
                "camera_to_world": np.round(camera_to_world(view), 8).tolist(),
            }
        )
    return records


def _write(
    folder: Path,
    name: str,
    rgb: np.ndarray,
    mask: np.ndarray,
    labels: np.ndarray,
    depth_m: np.ndarray | None,
    size: tuple[int, int],
) -> None:
    """Write the images of one frame."""
    cv2.imwrite(
        str(folder / "rgb" / f"{name}.jpg"),
        cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, 95],
    )
    cv2.imwrite(str(folder / "labels" / f"{name}.png"), labels)
    cv2.imwrite(str(folder / "instances" / f"{name}.png"), mask)
    if depth_m is not None:
        if depth_m.shape != (size[1], size[0]):
            depth_m = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / "depth" / f"{name}.png"), millimetres(depth_m))
