"""Commands whose words hold no secret, and whose misuse is told without one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from neurodata.cli.outcome import clean
from neurodata.secret import has_secret

ADDRESS = "--store"  # an address may hold a login or a signature; it is not told or kept


class Guarded(TyperGroup):
    """The group of all verbs.

    Words of a command line are seen by every user of a machine and kept in the shell's history,
    and what they declare is stored and published: a secret among them is misuse.
    """

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Refuse words that hold a secret, then go on as usual."""
        with _told_cleanly():
            refuse_secrets(args)
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run a verb."""
        with _told_cleanly():
            return super().invoke(ctx)


def refuse_secrets(words: Sequence[str]) -> None:
    """Refuse words of a command line that hold a secret, but for a store's address.

    Raises
    ------
    typer.BadParameter
        With the secret as ``***``.
    """
    for before, word in zip(["", *words], words, strict=False):
        if before == ADDRESS or word.startswith(f"{ADDRESS}="):
            continue
        if has_secret(word):
            raise typer.BadParameter(
                f"{clean(word)!r} holds a secret; set it as an environment variable, e.g. HF_TOKEN,"
                " or rename the file"
            )


@contextlib.contextmanager
def _told_cleanly() -> Iterator[None]:
    """Let misuse be told, but without the secrets and control characters of the words."""
    try:
        yield
    except Exception as error:
        told = getattr(error, "format_message", None)
        if told is not None:  # of click, whichever copy of it is in use
            text = clean(told())
            error.format_message = lambda: text  # type: ignore[attr-defined]
        raise
