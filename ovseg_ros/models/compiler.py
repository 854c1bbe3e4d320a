"""torch's compiler, left where it is until something is compiled.

torchvision and transformers take one function each from ``torch._dynamo`` when they are imported,
which imports all of the compiler, sympy and triton too: a third of the start of a node, which
compiles nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from importlib import import_module
from types import ModuleType
from typing import Any

_PUT_OFF = (
    "torch._dynamo",
    "torch._dynamo.utils",
    "torch._dynamo._trace_wrapped_higher_order_op",
)

_LOCK = threading.RLock()


class _Later(ModuleType):
    """Stands in for a module: what is taken from it imports the module when it is called."""

    __path__: list[str] = []  # noqa: RUF012 - a module's, not a class's

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _MARKS:
            return _MARKS[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            with _LOCK:
                _remove()  # should this be called while the import goes on
                real = getattr(import_module(self.__name__), name)
            return real(*args, **kwargs)

        return call


def _disable(function: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Keep a function from being compiled, as ``torch.compiler.disable`` does."""
    if function is None:
        return partial(_disable, **kwargs)
    disabled: list[Any] = []

    @wraps(function)
    def run(*inputs: Any, **options: Any) -> Any:
        if _absent():  # so nothing is being compiled
            return function(*inputs, **options)
        if not disabled:
            disabled.append(import_module("torch._dynamo").disable(function, *args, **kwargs))
        return disabled[0](*inputs, **options)

    return run


def _unmarked(function: Any) -> Any:
    """Return a function as it is: should it be compiled, that costs a break of the graph."""
    return function


_MARKS = {
    "disable": _disable,
    "allow_in_graph": _unmarked,
    "assume_constant_result": _unmarked,
}
"""What libraries call while they are imported."""


@contextmanager
def put_off_compiler() -> Iterator[None]:
    """Have what is imported inside take the compiler's functions without importing the compiler.

    Changes nothing if the compiler has been imported before. Other threads wait their turn.
    """
    with _LOCK:
        if _absent():
            sys.modules.update({name: _Later(name) for name in _PUT_OFF})
        try:
            yield
        finally:
            _remove()


def _absent() -> bool:
    """Tell whether nobody has imported the compiler itself."""
    module = sys.modules.get("torch._dynamo")
    return module is None or isinstance(module, _Later)


def _remove() -> None:
    for name in _PUT_OFF:
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]
