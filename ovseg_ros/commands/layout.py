"""`ovseg layout`: what RViz and Foxglove show, for a robot's own names."""

from __future__ import annotations

from pathlib import Path

import typer

from ovseg_ros.commands.options import with_commas
from ovseg_ros.whole_files import write_text


def layout(
    kind: str = typer.Argument(..., help="rviz or foxglove.", show_default=False),
    namespace: str = typer.Option("", help="Namespace of the nodes."),
    image: str = typer.Option("camera/image_raw", help="Camera topic."),
    image_topics: str = typer.Option("", help="Several of them, with commas; the first is shown."),
    frame: str = typer.Option("", help="RViz: fixed frame, that of the camera's pictures."),
    out: Path | None = typer.Option(None, "--out", "-o", help="File; printed by default."),
) -> None:
    """Write the layout for RViz (rviz2 -d FILE) or Foxglove (Import layout)."""
    from ovseg_ros.layouts import layout as text_of

    topics = with_commas(image_topics)
    text = text_of(kind, namespace=namespace, image=image, image_topics=topics, frame=frame)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
