"""Whether compiled loops can be used: they load beside the first batches, if numba is there."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

OFF = "NEURODATA_NO_NUMBA"
KINDS = ("i1", "u1", "i2", "u2", "f4")
HOMES = {
    "scale_windows": "neurodata.loader.kernels",
    "scale_patches": "neurodata.loader.kernels",
    "decode_chunks": "neurodata.store.kernels",
}
_lock = threading.RLock()  # held while a loop is loaded; no process is forked meanwhile
_ready: dict[tuple[str, str], Any] = {}
_asked: set[tuple[str, str]] = set()
_begun = threading.Event()


def begin() -> None:
    """Let loops be loaded from now on: not before somebody has a first batch."""
    _begun.set()


def compiled(name: str, dtype: np.dtype[Any]) -> Any | None:
    """Return a loop for a stored dtype, once it is loaded; its module is in ``HOMES``.

    After `begin`, the first call loads it in a thread; until it is there, NumPy does the same.
    """
    key = (name, dtype.str[1:])
    found = _ready.get(key)
    if found is None and _begun.is_set() and key not in _asked and _possible(dtype):
        known = len(_asked)
        _asked.add(key)
        if len(_asked) > known:  # at worst two threads load it, one after the other
            threading.Thread(target=_load, args=key, name="neurodata-compile", daemon=True).start()
    return found


def wait_compiled(name: str, dtype: np.dtype[Any]) -> Any | None:
    """Return a loop like `compiled`, but wait for it."""
    if _possible(dtype):
        _load(name, dtype.str[1:])
    return _ready.get((name, dtype.str[1:]))


def _possible(dtype: np.dtype[Any]) -> bool:
    return dtype.str[1:] in KINDS and not os.environ.get(OFF) and find_spec("numba") is not None


def _load(name: str, kind: str) -> None:
    """Load or compile a loop for one dtype by calling it on nothing."""
    try:
        with _lock:
            _keep_streams()
            home = importlib.import_module(HOMES[name])
            loop = getattr(home, name)
            loop(*home.nothing(name, kind))
            _ready[(name, kind)] = loop
    except Exception:  # numba may not know this machine or NumPy: NumPy does it then
        return


def _keep_streams() -> None:
    """Keep numba from exchanging ``sys.stdout`` in a thread, which it does to colour its errors.

    What another thread then puts there is lost, and with it what is printed.
    """
    os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")  # read on import
    errors: Any = sys.modules.get("numba.core.errors")
    if hasattr(errors, "ColorShell"):  # somebody imported numba before
        errors.ColorShell = contextlib.nullcontext


def _after_fork() -> None:
    """Let a new process load what the old one only began to."""
    _lock.release()
    _asked.intersection_update(_ready)


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)


def address(array: npt.NDArray[Any]) -> int:
    """Return where an array's first number is in memory."""
    place: int = array.__array_interface__["data"][0]
    return place
