"""Names from outside that become paths: plain, relative and of one meaning on every system.

A name in an archive is judged by its parts, never by a prefix of its text: no part may lead
upwards or be special to Windows, macOS or Linux, and no two names may be one file anywhere.
"""

from __future__ import annotations

import re
import unicodedata

from neurodata.errors import UnsafeError

DEPTH_LIMIT = 64
PART_LIMIT_BYTES = 255
NAME_LIMIT_BYTES = 1024
_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.I)
_STEERS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, directions of writing, halves of characters
_JOINERS = "\u200c\u200d"  # parts of words and emoji


def parts(name: str, where: str) -> tuple[str, ...]:
    """Return the parts of a relative name that stays below its folder.

    Raises
    ------
    UnsafeError
        When it is absolute, goes upwards, or has a part that is empty, a drive or not printed.

    Examples
    --------
    >>> parts("sub-01/eeg.edf", "a.zip")
    ('sub-01', 'eeg.edf')
    >>> parts("../eeg.edf", "a.zip")
    Traceback (most recent call last):
    neurodata.errors.UnsafeError: a.zip: found the name '../eeg.edf', which leads elsewhere; \
expected plain relative names
    """
    found = tuple(name.split("/"))
    odd = "\\" in name or any(part in ("", ".", "..") for part in found)
    if odd or _DRIVE.match(name) or any(ord(letter) < 32 for letter in name):
        raise UnsafeError(
            where, f"the name {_shown(name)}, which leads elsewhere", "plain relative names"
        )
    return found


def check_portable(found: tuple[str, ...], where: str) -> None:
    """Refuse the parts of a name that some system takes for something else or cannot hold.

    Raises
    ------
    UnsafeError
        On names of devices, points or blanks at an end, drives, marks that steer how text is
        shown, and names that are too long or too deep.
    """
    whole = "/".join(found)
    if len(found) > DEPTH_LIMIT or len(whole.encode("utf-8", "replace")) > NAME_LIMIT_BYTES:
        raise _refusal(where, whole, f"is {len(found)} deep and {len(whole)} letters long")
    for part in found:
        if len(part.encode("utf-8", "replace")) > PART_LIMIT_BYTES:
            raise _refusal(where, whole, f"has a part of over {PART_LIMIT_BYTES} bytes")
        if _DEVICE.fullmatch(part.partition(".")[0].rstrip()):
            raise _refusal(where, whole, f"has the name of a device, {part!r}")
        if part.endswith((".", " ")) or _DRIVE.match(part):
            raise _refusal(where, whole, f"has the part {part!r}, another one on other systems")
        if any(unicodedata.category(c) in _STEERS and c not in _JOINERS for c in part):
            raise _refusal(where, whole, "has marks that are not printed")


class Names:
    """The names of one archive, which must stay apart on every system.

    Two names that differ in upper and lower case only, or in how a letter is composed, are one
    file on some systems; so are a file and a folder of one name.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def add(self, name: str, is_folder: bool) -> tuple[str, ...]:
        """Return the parts of a member's name after all checks.

        Raises
        ------
        UnsafeError
            When the name leads elsewhere, is not portable, or is that of an earlier member.
        """
        where = f"{self.where}: {_shown(name)}"
        found = parts(name, self.where)
        check_portable(found, self.where)
        above = found if is_folder else found[:-1]
        for depth in range(1, len(above) + 1):
            self._take(where, "/".join(above[:depth]), self._folders, self._files, again=True)
        if not is_folder:
            self._take(where, name, self._files, self._folders, again=False)
        return found

    def __len__(self) -> int:
        return len(self._files) + len(self._folders)

    def _take(
        self, where: str, name: str, own: dict[str, str], others: dict[str, str], again: bool
    ) -> None:
        key = _key(name)
        earlier = own.get(key) or others.get(key)
        if earlier is not None and not (again and own.get(key) == name):
            raise UnsafeError(
                where, f"a name that is also {_shown(earlier)}", "each file once, on any system",
                "rename one of them and pack it again",
            )  # fmt: skip
        own[key] = name


def _key(name: str) -> str:
    """What a name is on a system that folds case and composes letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:60] + "…" + name[-16:])


def _refusal(where: str, name: str, what: str) -> UnsafeError:
    return UnsafeError(
        where, f"the name {_shown(name)}, which {what}", "names that every system can hold",
        "rename it and pack it again",
    )  # fmt: skip
