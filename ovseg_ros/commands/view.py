"""`ovseg view`: a live page for people without RViz."""

from __future__ import annotations

import typer

from ovseg_ros.commands.graph import with_ros


def view(
    node: str = typer.Argument("segmentation_node", help="The segmentation node to look at."),
    camera: str = typer.Option("", help="Of several cameras: which, as in ~/CAMERA/overlay."),
    namespace: str = typer.Option("", help="Namespace of the node."),
    host: str = typer.Option(
        "127.0.0.1", help="Address to listen on; 0.0.0.0 shows the page to the whole network."
    ),
    port: int = typer.Option(8080, min=0, max=65535, help="Port; 0: any that is free."),
) -> None:
    """Show a running segmentation node on a web page; Ctrl-C ends it.

    The overlay, what is in it, a minute of the past, and a box that asks where something is.
    """

    def run() -> int:
        from ovseg_ros.nodes.view_node import run_view

        return run_view(node, camera=camera, namespace=namespace, host=host, port=port)

    raise typer.Exit(with_ros(run))
