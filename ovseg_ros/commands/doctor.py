"""`ovseg doctor`: what is wrong, and what mends it."""

from __future__ import annotations

import typer

from ovseg_ros.commands.options import PRESET

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(
    preset: str = PRESET,
    image: str = typer.Option("/camera/image_raw", help="The camera topic to look for."),
) -> None:
    """Look for what is wrong with this machine; exit with 1 if something is.

    Looks at the Python environment, GPU, weights, shared memory, DDS settings, ROS, cameras and
    their QoS. Under every finding that needs it stands the command that mends it.
    """
    from ovseg_ros.doctor import ERROR, WARN, Finding, examine, ros_refuses
    from ovseg_ros.layouts import check_ros_name
    from ovseg_ros.programs import explain

    check_ros_name("image", image)
    found = list(examine(preset))
    try:
        if refused := ros_refuses():
            mends = "unset RMW_IMPLEMENTATION ROS_DOMAIN_ID"
            found.append(Finding(ERROR, f"ROS 2 does not start: {refused}", mends))
        else:
            from ovseg_ros.nodes.doctor import examine_graph

            found += examine_graph(image)
    except ImportError as error:
        mends = "source /opt/ros/$ROS_DISTRO/setup.bash, or make"
        found.append(Finding(ERROR, explain(error), mends))
    for one in found:
        typer.secho(f"{one.level:8}", fg=_COLOURS[one.level], nl=False)
        typer.echo(one.what)
        if one.remedy:
            typer.echo(f"{'':8}  -> {one.remedy}")
    counts = {level: sum(one.level == level for one in found) for level in (ERROR, WARN)}
    typer.echo(f"errors: {counts[ERROR]}, warnings: {counts[WARN]}")
    raise typer.Exit(1 if counts[ERROR] else 0)
