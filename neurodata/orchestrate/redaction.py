"""Take credentials out of a text before anybody logs, shows or stores it. Needs no Prefect."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from urllib.parse import quote

from neurodata.errors import NeurodataError

P = ParamSpec("P")
T = TypeVar("T")
MARK = "***"
SHORTEST = 6  # characters; a shorter value would blank ordinary words

# Shapes as their issuers publish them: Hugging Face, GitHub, Prefect, AWS access keys.
SHAPES = re.compile(
    r"hf_[A-Za-z0-9_]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|github_pat_[A-Za-z0-9_]{8,}"
    r"|pn[ub]_[A-Za-z0-9]{8,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
)
WORDS = (
    r"(?:access_|auth_|refresh_|session_|security_)?token|api[_-]?key|secret(?:_access)?(?:_key)?"
    r"|password|passwd|signature|x-amz-(?:signature|credential|security-token)"
)
FIELD = re.compile(rf"""(?i)((?:{WORDS})["']?\s*(?:=|%3d|:(?=\s*["']))\s*["']?)[^\s"'&,;)>]+""")
HEADER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}")
LOGIN = re.compile(r"(://[^\s/:@]*:)[^\s/@]+(?=@)")
VARIABLE = re.compile(r"(?i)(?:token|secret|password|passwd|api_key|access_key|auth_string)$")


class UnforeseenError(NeurodataError):
    """An exception that is no refusal; its text is free of credentials."""


def secret_values() -> list[str]:
    """Return the values of the environment's credential variables, the longest first."""
    values = {value for name, value in os.environ.items() if VARIABLE.search(name)}
    values |= {quote(value, safe="") for value in values}
    return sorted((v for v in values if len(v) >= SHORTEST), key=len, reverse=True)


def redact(text: str) -> str:
    """Return ``text`` with every credential replaced by ``***``.

    Known are token shapes (Hugging Face, GitHub, Prefect, AWS), ``token=...`` and its like in
    URLs and JSON, authorization headers, logins in URLs, and the values of environment variables
    whose names end in TOKEN, SECRET, PASSWORD, API_KEY, ACCESS_KEY or AUTH_STRING.

    Examples
    --------
    >>> redact("403 from https://example.org/a.nwb?token=s3cret&x=1")
    '403 from https://example.org/a.nwb?token=***&x=1'
    """
    for value in secret_values():
        text = text.replace(value, MARK)
    text = SHAPES.sub(MARK, text)
    for pattern in (FIELD, HEADER, LOGIN):
        text = pattern.sub(rf"\1{MARK}", text)
    return text


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
