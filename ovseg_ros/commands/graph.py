"""`ovseg demo` and `ovseg up`: the ROS 2 graph without `ros2 launch`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from ovseg_ros.commands.options import PRESET

T = TypeVar("T")


def demo(
    out: Path = typer.Option(Path("out/demo"), help="Folder of the report and the pictures."),
    seconds: float = typer.Option(45.0, min=1.0, help="Measured time."),
    preset: str = PRESET,
) -> None:
    """Run everything on a simulated camera.

    Starts the whole ROS 2 graph on the robot cell's camera, headless, and writes a report.
    """

    def run() -> int:
        from ovseg_ros.demo.run import run_demo

        return run_demo(out, seconds=seconds, preset=preset)

    raise typer.Exit(with_ros(run))


def up(
    preset: str = PRESET,
    image: str = typer.Option("/camera/image_raw", help="Camera topic."),
    image_transport: str = typer.Option("raw", help="raw or compressed."),
    camera: str = typer.Option(
        "", help="Also start a camera node: sim, live, or replay:PATH (folder, video, bag)."
    ),
    device: str = typer.Option("", help="Overrides the preset's device."),
    separate_processes: bool = typer.Option(
        False, help="Segmentation and discovery in a process each."
    ),
    evaluate: bool = typer.Option(False, help="Also compare the masks with the ground truth."),
    report: str = typer.Option("", help="Where the evaluation node writes its report."),
    sets: list[str] = typer.Option(
        [], "--set", metavar="NAME:=VALUE", help="Parameter override, also node:name:=value."
    ),
) -> None:
    """Start the nodes; Ctrl-C stops them."""

    def run() -> int:
        from ovseg_ros.nodes.up import run_graph

        return run_graph(
            preset,
            sets,
            image=image,
            image_transport=image_transport,
            camera=camera,
            device=device,
            separate_processes=separate_processes,
            evaluate=evaluate,
            report_path=report,
        )

    raise typer.Exit(with_ros(run))


def with_ros(run: Callable[[], T]) -> T:
    """Run what needs ROS 2; without it the error says what to do.

    Raises:
        ImportError: if it is not there.
        ValueError: of one line if rclpy refuses a name or a setting of the environment.
    """
    try:
        return run()
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in ("rclpy", "sensor_msgs", "std_msgs") or error.name == "ovseg_ros.msg":
            raise ImportError(
                f"this needs ROS 2 and the built package ({error}); run `make`, "
                "or source a ROS 2 with ovseg_ros built in it"
            ) from None
        raise
    except Exception as error:  # rclpy has one of its own for each mistake
        if not type(error).__module__.startswith("rclpy"):
            raise
        raise ValueError(f"ROS 2: {error}") from None
