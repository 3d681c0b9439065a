"""Folders for files that a recording is read from while it is worked on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path

_STACK: ContextVar[ExitStack | None] = ContextVar("stack", default=None)
_KEPT: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@contextmanager
def lasting() -> Iterator[None]:
    """Remove the folders that were made within the block at its end."""
    with ExitStack() as stack:
        token = _STACK.set(stack)
        try:
            yield
        finally:
            _STACK.reset(token)


def new_folder() -> Path:
    """Return a new private folder; without `lasting` around it, it lasts as long as the process.

    Examples
    --------
    >>> with lasting():
    ...     made = new_folder()
    ...     made.is_dir()
    True
    >>> made.exists()
    False
    """
    made = tempfile.TemporaryDirectory(prefix="neurodata-", ignore_cleanup_errors=True)
    stack = _STACK.get()
    if stack is None:
        _KEPT.append(made)
        return Path(made.name)
    return Path(stack.enter_context(made))
