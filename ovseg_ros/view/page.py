"""The page itself, made with NiceGUI; everything it needs is served from this machine."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import uvicorn
from fastapi import FastAPI, Response
from nicegui import run, ui

from ovseg_ros.codecs.pictures import data_uri
from ovseg_ros.view.live import Live, highlighted
from ovseg_ros.vocabulary.config import distinct

_FRAME_S, _CHART_S = 0.1, 1.0
_PATIENCE_S = 60.0
"""How long a page whose machine or network is busy may be silent before it begins anew."""

_CHIP = """
<q-td :props="props">
  <span :style="{background: props.row.colour, padding: '0 0.6em', marginRight: '0.6em'}"></span>
  {{ props.value }}
</q-td>
"""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any that is free.

    Raises:
        OSError: if that address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
        server.listen()  # whoever comes before the page is ready waits
    except OSError as error:
        server.close()
        raise OSError(f"--host, --port: {host}:{port} cannot be listened on: {error}") from None
    return server


def serve(live: Live, server: socket.socket) -> None:
    """Serve the page until Ctrl-C."""
    app = application(live)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    with suppress(KeyboardInterrupt):  # raised once everything is closed
        uvicorn.Server(config).run(sockets=[server])


def application(live: Live) -> FastAPI:
    """Return the web application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/overlay.jpg")
    def overlay() -> Response:
        try:
            jpeg = live.jpeg()
        except ValueError as error:  # an overlay that is no picture
            return Response(str(error), status_code=502)
        if not jpeg:
            return Response("no overlay has come yet", status_code=503)
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @ui.page("/", title=f"ovseg: {live.about}")
    def page() -> None:
        _build(live)

    ui.run_with(app, show_welcome_message=False, dark=None, reconnect_timeout=_PATIENCE_S)
    return app


def _build(live: Live) -> None:
    with ui.row().classes("w-full items-baseline justify-between"):
        ui.label(live.about).classes("text-xl")
        health = ui.label().props("data-testid=health")
    with ui.row().classes("w-full items-start no-wrap"):
        with ui.column().classes("w-3/5"):
            # Not ui.image: it fades from one picture to the next.
            picture = ui.interactive_image().props("data-testid=overlay").classes("w-full")
            chart = ui.echart(_chart({}, {})).props("data-testid=timeline").classes("w-full h-64")
        with ui.column().classes("w-2/5"):
            _query(live)
            table = ui.table(
                columns=[
                    {"name": "name", "label": "category", "field": "name", "align": "left"},
                    {"name": "share", "label": "share", "field": "share"},
                    {"name": "confidence", "label": "confidence", "field": "confidence"},
                ],
                rows=[],
                row_key="name",
            )
            table.props("data-testid=categories dense flat").classes("w-full")
            table.add_slot("body-cell-name", _CHIP)
    shown = 0

    def show_frame() -> None:
        nonlocal shown
        if live.number == shown:
            return
        shown = live.number
        picture.set_source(f"/overlay.jpg?{shown}")
        table.rows = [
            {
                "name": row.name,
                "colour": row.colour,
                "share": f"{row.share:.1%}",
                "confidence": f"{row.confidence:.0%}",
            }
            for row in live.rows
        ]

    def show_past() -> None:
        health.text = live.health
        chart.options.clear()
        chart.options.update(_chart(live.timeline(time.monotonic()), live.colours))
        chart.update()

    ui.timer(_FRAME_S, show_frame)
    ui.timer(_CHART_S, show_past)


def _query(live: Live) -> None:
    with ui.row().classes("w-full items-center no-wrap"):
        box = ui.input("Where is ... (words, with commas)").props("data-testid=query clearable")
        box.classes("grow")
        button = ui.button("Ask").props("data-testid=ask")
    answer = ui.label().props("data-testid=answer")
    where = ui.image().props("data-testid=where").classes("w-full")
    where.visible = False

    async def ask() -> None:
        where.visible = False
        try:
            names = distinct([word for word in (box.value or "").split(",") if word.strip()])
            if not names:
                raise ValueError("type what to look for")
        except ValueError as error:
            answer.text = str(error)
            return
        button.disable()
        answer.text = "asking ..."
        try:
            found = await run.io_bound(live.ask, names)
            if found is None:  # the server is stopping
                return
            answer.text = found.text
            image = live.overlay()
            if found.mask is not None and image is not None and image.shape[:2] == found.mask.shape:
                where.set_source(data_uri(highlighted(image, found.mask)))
                where.visible = True
        except Exception as error:  # the page says it, and goes on
            answer.text = str(error) or type(error).__name__
        finally:
            button.enable()

    box.on("keydown.enter", ask)
    button.on_click(ask)


def _chart(
    timeline: dict[str, list[tuple[float, float]]], colours: dict[str, str]
) -> dict[str, object]:
    apart = {"axisLine": {"onZero": False}}  # zero is now, at the right
    return {
        "animation": False,
        "grid": {"left": 40, "right": 10, "top": 40, "bottom": 40},
        "legend": {"type": "scroll", "top": 0},
        "xAxis": {"type": "value", "min": -60, "max": 0, "name": "seconds", **apart}
        | {"nameLocation": "middle", "nameGap": 24},
        "yAxis": {"type": "value", "min": 0, "axisLabel": {"formatter": "{value} %"}, **apart},
        "series": [
            {
                "name": name,
                "type": "line",
                "showSymbol": False,
                "color": colours.get(name, "#888"),
                "data": points,
            }
            for name, points in timeline.items()
        ],
    }
