"""Writers of tar archives whose headers are not what they should be."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.hostile.case import marker, raw_folder

HONEST = ("notes/honest.txt", b"an honest member\n" * 40)
Named = Callable[[Path], str]
"""Makes a member's name, given the folder of the case."""


def tar(folder: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]], name: str = "synthetic.tar",
        pack: Callable[[bytes], bytes] = bytes, form: int = tarfile.PAX_FORMAT,
        facts: dict[str, str] | None = None) -> Path:  # fmt: skip
    """Write a tar, packed perhaps."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, pax_headers=facts or {}) as file:
        for info, data in [(entry(HONEST[0], HONEST[1]), HONEST[1]), *members]:
            file.addfile(info, io.BytesIO(data))
    path = raw_folder(folder) / name
    path.write_bytes(pack(stream.getvalue()))
    return path


def entry(name: str, data: bytes = b"x\n", kind: bytes = tarfile.REGTYPE, link: str = "",
          facts: dict[str, str] | None = None) -> tarfile.TarInfo:  # fmt: skip
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname, info.pax_headers = len(data), kind, link, facts or {}
    return info


def tar_named(name: str | Named, folder: Path, form: int = tarfile.PAX_FORMAT) -> Path:
    """A tar with a member of a name."""
    told = name if isinstance(name, str) else name(folder)
    return tar(folder, [(entry(told), b"x\n")], form=form)


def tar_pair(first: str, second: str, folder: Path) -> Path:
    return tar(folder, [(entry(first), b"x\n"), (entry(second), b"x\n")])


def tar_special(kind: bytes, link: str | Named, folder: Path) -> Path:
    """A tar with a member of a special kind, a link to a place perhaps."""
    told = link if isinstance(link, str) else link(folder)
    return tar(folder, [(entry("linked.edf", b"", kind, told), b"")])


def tar_through_link(folder: Path) -> Path:
    outside = str(marker(folder).parent)
    members = [entry("away", b"", tarfile.SYMTYPE, outside), entry("away/marker")]
    return tar(folder, [(members[0], b""), (members[1], b"x\n")])


def tar_records(facts: dict[str, str], folder: Path) -> Path:
    """A tar whose member has extended records."""
    return tar(folder, [(entry("a.dat", facts=facts), b"x\n")])


def tar_patched(at: int, new: bytes, folder: Path, again: bool = True) -> Path:
    """A tar whose second header has other bytes, its sum made right."""
    path = tar(folder, [(entry("a.dat", b"x" * 600), b"x" * 600)], form=tarfile.USTAR_FORMAT)
    whole = bytearray(path.read_bytes())
    start = 512 + -(-len(HONEST[1]) // 512) * 512
    whole[start + at : start + at + len(new)] = new
    if again:
        whole[start + 148 : start + 156] = b" " * 8
        whole[start + 148 : start + 156] = b"%06o\0 " % sum(whole[start : start + 512])
    path.write_bytes(whole)
    return path


def tar_without_end(folder: Path) -> Path:
    path = tar(folder, [(entry("a.dat", b"x" * 512), b"x" * 512)])
    path.write_bytes(path.read_bytes().rstrip(b"\0"))
    return path


def tar_after_end(folder: Path) -> Path:
    path = tar(folder, [(entry("a.dat"), b"x\n")])
    hidden = io.BytesIO()
    with tarfile.open(fileobj=hidden, mode="w") as file:
        file.addfile(entry("hidden.edf"), io.BytesIO(b"x\n"))
    path.write_bytes(path.read_bytes() + hidden.getvalue())
    return path


def tar_long_header(folder: Path) -> Path:
    """An extended header of 16 MB, packed into some kB."""
    info = entry("a.dat", facts={"comment": "c" * 16 * 2**20})
    return tar(folder, [(info, b"x\n")], "synthetic.tar.gz", gzip.compress)


def zstandard(data: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.compress(data, codec="zstd", asbytes=True))


def tar_bomb(name: str, pack: Callable[[bytes], bytes], folder: Path) -> Path:
    zeros = bytes(48 * 2**20)
    return tar(folder, [(entry("zeros.dat", zeros), zeros)], name, pack)


def tar_cut(name: str, pack: Callable[[bytes], bytes], folder: Path) -> Path:
    data = bytes(range(256)) * 400
    path = tar(folder, [(entry("a.dat", data), data)], name, pack)
    path.write_bytes(path.read_bytes()[:-20])
    return path
