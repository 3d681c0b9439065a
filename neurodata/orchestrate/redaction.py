"""Calls whose exceptions hold no credential, for what Prefect records. Needs no Prefect."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from neurodata.errors import NeurodataError
from neurodata.secret import scrubbed as redact

__all__ = ["UnforeseenError", "guarded", "redact"]

P = ParamSpec("P")
T = TypeVar("T")


class UnforeseenError(NeurodataError):
    """An exception that is no refusal; its text is free of credentials."""


def guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function; exceptions that leave it hold no credential.

    Raises
    ------
    NeurodataError
        A refusal, as it was raised.
    UnforeseenError
        In place of any other exception, or of a refusal that quotes a credential.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        if isinstance(error, NeurodataError) and redact(str(error)) == str(error):
            raise
        reason = redact(f"{type(error).__name__}: {error}")
    raise UnforeseenError(reason)  # outside the handler: no chain back to the original
