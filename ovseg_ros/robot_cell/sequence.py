"""A moving camera and a moving arm in one scene."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ovseg_ros.robot_cell.camera import around, camera_to_world, intrinsics
from ovseg_ros.robot_cell.description import Scene, View
from ovseg_ros.robot_cell.recording import SequenceFrame, label_lookup
from ovseg_ros.robot_cell.scenes import sample_joints, sample_scene, scene_rng
from ovseg_ros.robot_cell.sensor import expose
from ovseg_ros.robot_cell.world import World

SHIPPED_SEED = 2043  # a red mug, a yellow duck, nine objects, a tray and an arm; chosen by its list
WAYPOINTS = 5


@dataclass(frozen=True)
class Motion:
    """A closed path of camera and arm; `phase` 0..1 runs through it once and ends where it began.

    Attributes:
        target: point the camera looks at, metres.
        orbit: middle azimuth and its swing, radians.
        height: middle elevation and its swing, radians.
        distance_m: middle distance and its swing.
        fov_y_deg: vertical field of view.
        joints: arm waypoints, radians, (N, 7); empty without an arm.
    """

    target: tuple[float, float, float]
    orbit: tuple[float, float]
    height: tuple[float, float]
    distance_m: tuple[float, float]
    fov_y_deg: float
    joints: tuple[tuple[float, ...], ...]

    def view(self, phase: float, sensor_seed: int = 0) -> View:
        """Camera at a phase."""
        turn = 2 * math.pi * phase
        azimuth = self.orbit[0] + self.orbit[1] * math.sin(turn)
        elevation = self.height[0] + self.height[1] * math.sin(2 * turn + 0.6)
        distance = self.distance_m[0] + self.distance_m[1] * math.cos(turn)
        eye = around(self.target, distance, azimuth, elevation)
        return View(eye, self.target, self.fov_y_deg, sensor_seed)

    def arm(self, phase: float) -> tuple[float, ...]:
        """Joint angles at a phase: from waypoint to waypoint, resting shortly at each."""
        leg, share = divmod((phase % 1.0) * len(self.joints), 1.0)
        start = np.array(self.joints[int(leg)])
        end = np.array(self.joints[(int(leg) + 1) % len(self.joints)])
        ease = 0.5 - 0.5 * math.cos(math.pi * share)
        return tuple(float(q) for q in start + ease * (end - start))


def plan_motion(scene: Scene, seed: int) -> Motion:
    """Draw the path of camera and arm for a scene."""
    rng = scene_rng("sequence", seed, seed=1)
    joints = (
        tuple(sample_joints(scene.arm.model, rng) for _ in range(WAYPOINTS)) if scene.arm else ()
    )
    return Motion(
        target=(0.0, 0.0, 0.1),
        orbit=(float(rng.uniform(-0.5, 0.5)), 1.2),
        height=(math.radians(36), math.radians(9)),
        distance_m=(1.3, 0.22),
        fov_y_deg=50.0,
        joints=joints,
    )


def sequence(
    seed: int = SHIPPED_SEED,
    frames: int = 200,
    size: tuple[int, int] = (640, 480),
    fps: float = 10.0,
    world: World | None = None,
) -> Iterator[SequenceFrame]:
    """Render a moving-camera sequence of the test distribution, never seen in training.

    Args:
        seed: which scene and path.
        frames: number of frames of one closed round.
        size: width and height in pixels.
        fps: frames per second; only sets the stamps.
        world: a world to use; None starts one.

    Yields:
        The frames in order. Depth and pose give exact correspondence for everything whose
        instance is not in `SequenceFrame.moving`.

    Raises:
        ValueError: if `frames` is below 1.
        ImportError: if pybullet is missing.
    """
    if frames < 1:
        raise ValueError(f"frames must be at least 1; got {frames}")
    scene = sample_scene("sequence", seed, views=1)
    motion = plan_motion(scene, seed)
    own = World() if world is None else world
    try:
        names = {member.id: member.category for member in own.build(scene)}
        lookup = label_lookup(names)
        moving = tuple(key for key, name in names.items() if name == "robot arm")
        for index in range(frames):
            phase = index / frames
            if motion.joints:
                own.move_arm(motion.arm(phase))
            view = motion.view(phase)
            shot = own.render(view, size)
            yield SequenceFrame(
                index=index,
                stamp_s=index / fps,
                image=expose(shot.rgb, seed=seed * 100_000 + index, strength=0.15),
                labels=lookup[shot.instances],
                instance_mask=shot.instances,
                depth_m=shot.depth_m,
                intrinsics=intrinsics(view.fov_y_deg, size),
                camera_to_world=camera_to_world(view),
                moving=moving,
            )
    finally:
        if world is None:
            own.close()
