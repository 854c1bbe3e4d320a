"""HTTP requests that end in time, however slowly a server speaks.

A socket's own time limit begins anew with every byte that comes.
"""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class Deadline:
    """Cuts the connections of one request when its time is over; a context manager."""

    def __init__(self, seconds: float) -> None:
        """Give all of a request ``seconds`` from when the context is entered."""
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []
        self.over = False

    def __enter__(self) -> Deadline:
        """Begin to count."""
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut nothing any more."""
        self._timer.cancel()
        for opened in self._sockets:
            opened.close()

    def opener(self, *handlers: Any) -> urllib.request.OpenerDirector:
        """Return urllib's opener with these handlers beside its own."""
        return urllib.request.build_opener(_Handler(self), *handlers)

    def connection(self, kind: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return a connection of ``http.client`` that is cut at the deadline."""
        made = kind(*arguments, **options)
        connect = made._create_connection  # the one place that knows a proxy's socket as well

        def connected(*where: Any) -> socket.socket:
            opened: socket.socket = connect(*where)
            self._sockets.append(opened.dup())  # TLS takes the other one over
            if self.over:
                self._cut()
            return opened

        made._create_connection = connected
        return made

    def _cut(self) -> None:
        self.over = True
        for opened in self._sockets:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Opens what :class:`Deadline` can cut."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, request: Any) -> Any:
        return self._open("http", request)

    def https_open(self, request: Any) -> Any:
        return self._open("https", request)

    def _open(self, scheme: str, request: Any) -> Any:
        make: Any = partial(self._deadline.connection, _CONNECTIONS[scheme])
        return self.do_open(make, request)
