"""Secrets do not show: `Secret` holds one, and `scrubbed` takes them out of a text.

A token comes from the environment, or with the address of a store; it belongs into no output, log
or file. What is known as a secret is told by its value or by its shape.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

MARK = "***"
SHORTEST = 6  # characters; a shorter value would blank ordinary words
LINE = 16  # characters of a line of a longer secret, such as a private key
ORDINARY = {"default", "disabled", "enabled", "optional", "required"}

# Shapes as their issuers publish them: Hugging Face, GitHub, GitLab, AWS access keys; then
# Prefect, Slack, OpenAI, Google, JSON web tokens, private keys.
CERTAIN = re.compile(
    r"hf_(?=[A-Za-z0-9]*[A-Z])(?=[A-Za-z0-9]*[a-z])[A-Za-z0-9]{20,}|api_org_[A-Za-z0-9]{20,}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|pn[ub]_[A-Za-z0-9]{20,}|xox[abeoprs]-[\w-]{10,}"
    r"|\bsk-[A-Za-z0-9_-]{32,}|\bAIza[\w-]{35}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]*)?"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----END)[\s\S])*(?:-----END [A-Z ]*KEY-----)?"
)
# Shorter ones, cut off or not: a name may look like them.
LIKELY = re.compile(
    r"(?:hf|api_org)_(?=[A-Za-z]*[A-Z0-9])[A-Za-z0-9]{12,}|gh[pousr]_[A-Za-z0-9]{8,}"
    r"|github_pat_\w{8,}|glpat-[\w-]{8,}|pn[ub]_[A-Za-z0-9]{8,}"
)
WORDS = (
    r"(?:access_|auth_|refresh_|session_|security_)?token|api[_-]?key|account[_-]?key"
    r"|private[_-]?key|secret(?:_?access)?(?:_?key)?|password|passwd|passphrase|signature"
    r"|x-(?:amz|goog)-(?:signature|credential|security-token)"
)
NO_COLUMN = r"(?<!units\.)(?<!columns\.)(?<!variables\.)"  # of declared facts: --set units.token=V
LOGINS = (
    re.compile(r"(:/{1,2}[^\s/:@]*:)[^\s/]+(?=@)"),
    re.compile(r"(:/{1,2})[^\s/:@]+(?=@)"),
)
QUERY = re.compile(rf"(?i)([?&;](?:{WORDS}|sig|pwd|pass|awsaccesskeyid)(?:=|%3d))[^\s\"'&#,;)>]+")
MAYBE = re.compile(r"(?i)([?&;](?:key|auth|code|credential)(?:=|%3d))[^\s\"'&#,;)>]+")
HEADERS = (
    re.compile(
        r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)[^\s\"',;)>]+"
    ),
    re.compile(r"(\b(?i:bearer)\s+)(?=[a-z._~+/=-]*[0-9A-Z])[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(\b[Bb]asic\s+)(?=[A-Za-z+/]*[0-9=])[A-Za-z0-9+/]{8,}={0,2}"),
)
FIELDS = (
    re.compile(rf"""(?i)({NO_COLUMN}(?:{WORDS})["']?\s*[=:]\s*(["']))(?:\\.|(?!\2)[^\\\n])+"""),
    re.compile(rf"""(?i)({NO_COLUMN}(?:{WORDS})["']?\s*(?:=|%3d)\s*)[^\s"'&,;)>]+"""),
    re.compile(rf"(?i)(--(?:{WORDS})\s+)[^\s-]\S*"),
)
# One of these is in every text that one of the patterns above fits; most texts have none.
FIELD_HINTS = ("token", "key", "secret", "passw", "passphrase", "signature", "credential")
HINTS = (
    *FIELD_HINTS, "@", "sig=", "sig%3d", "pwd", "pass=", "pass%3d", "auth", "code=", "code%3d",
    "bearer", "basic", "hf_", "api_org_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
    "glpat-", "akia", "asia", "pnu_", "pnb_", "xox", "sk-", "aiza", "eyj",
)  # fmt: skip
NAMED = re.compile(
    r"(?i)token|secret|passw(?:or)?d|passphrase|credential|auth_string"
    r"|(?:api|access|account|auth|private|signing|encryption|master)_?key|(?:^|_)keys?(?:_|$)"
)
UNNAMED = re.compile(
    r"(?i)(?:^|_)(?:file|path|dir|folder|home|parallelism|backend|limit|count|ttl|type|mode)$"
)

_met: set[str] = set()  # values that a `Secret` of this process holds or held


class Secret:
    """A secret text that neither prints nor pickles; equality takes the same time for all.

    Parameters
    ----------
    value : str
        From now on `scrubbed` knows it.

    Examples
    --------
    >>> token = Secret("a-synthetic-token")
    >>> print(token, f"{token!r}", [token])
    *** *** [***]
    >>> token == Secret("a-synthetic-token"), scrubbed("with a-synthetic-token")
    (True, 'with ***')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= SHORTEST:
            _met.add(value)

    @classmethod
    def of(cls, *names: str) -> Secret | None:
        """Return the secret of the first environment variable of these that has one."""
        found = next((value for name in names if (value := os.environ.get(name))), None)
        return cls(found) if found else None

    def reveal(self) -> str:
        """Return the text itself, for the request that needs it."""
        return self._value

    def __repr__(self) -> str:
        return MARK

    def __str__(self) -> str:
        return MARK

    def __format__(self, form: str) -> str:
        return format(MARK, form)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would tell of the value

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        from neurodata.errors import UnsafeError

        raise UnsafeError(
            "secret", "a secret to be pickled or copied", "one that stays in its process",
            "set the environment variable where the other process runs",
        )  # fmt: skip


def secret_values() -> list[str]:
    """Return the values that are known as secrets, the longest first.

    These are the values of environment variables whose names speak of a token, secret, password
    or key and not of its place, but for existing paths, short numbers and ordinary words; and
    what `Secret` objects of this process hold.
    """
    found = set(_met)
    for name in os.environ:
        if _is_telling_variable(name):
            found.update(_telling(os.environ[name]))
    return sorted({*found, *(quote(value, safe="") for value in found)}, key=len, reverse=True)


@cache
def _is_telling_variable(name: str) -> bool:
    return bool(NAMED.search(name)) and not UNNAMED.search(name)


def _telling(value: str) -> Iterator[str]:
    """Yield what gives a value away: all of it, and its lines where it has many."""
    plain = (value.isdecimal() and len(value) < 2 * SHORTEST) or value.lower() in ORDINARY
    if len(value) < SHORTEST or plain or _is_path(value):
        return
    yield value
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= LINE)


def _is_path(value: str) -> bool:
    try:
        return value.startswith(("/", "~", ".")) and Path(value).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, no home, a NUL: no path then
        return False


def scrubbed(text: str) -> str:
    """Return a text with ``***`` in the place of every secret.

    Known are the values of `secret_values` and what `scrubbed_by_shape` knows.

    Examples
    --------
    >>> scrubbed("403 from https://example.org/a.nwb?token=s3cret&x=1")
    '403 from https://example.org/a.nwb?token=***&x=1'
    """
    return scrubbed_by_shape(_without_values(text)) if len(text) >= SHORTEST else text


def scrubbed_by_shape(text: str) -> str:
    """Return a text without what has the shape of a secret: the same in every environment.

    Known are token shapes, logins in addresses, query values such as ``token=`` and ``sig=``,
    authorization headers, and ``password=...`` and its like.

    Examples
    --------
    >>> scrubbed_by_shape("see hf_abcDEFghi123 and https://me:pw@host/a")
    'see *** and https://me:***@host/a'
    """
    if not _has_one(text, HINTS):
        return text
    text = MAYBE.sub(rf"\1{MARK}", _without_certain(LIKELY.sub(MARK, text)))
    if _has_one(text, FIELD_HINTS):
        for pattern in FIELDS:
            text = pattern.sub(rf"\1{MARK}", text)
    return text


def has_secret(text: str) -> bool:
    """Say whether a text, an argument or a name holds what is a secret for sure.

    Short values of variables are none here, as they may be words; nor is ``token=V``, which may
    be about a column.

    Examples
    --------
    >>> has_secret("columns.token=V"), has_secret("https://host/a?token=V")
    (False, True)
    >>> has_secret("hf_power_20200101.edf"), has_secret("ghp_0123456789abcdefghijkl.edf")
    (False, True)
    """
    known = (value for value in secret_values() if len(value) >= 2 * SHORTEST)
    return _without_certain(text) != text or any(value in text for value in known)


def _without_values(text: str) -> str:
    for value in secret_values():
        if value in text:
            text = text.replace(value, MARK)
    return text


def _has_one(text: str, hints: tuple[str, ...]) -> bool:
    plain = text.lower()
    return any(hint in plain for hint in hints)


def _without_certain(text: str) -> str:
    if not _has_one(text, HINTS):
        return text
    text = CERTAIN.sub(MARK, text)
    for pattern in (*LOGINS, QUERY, *HEADERS):
        text = pattern.sub(rf"\1{MARK}", text)
    return text
