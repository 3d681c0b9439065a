"""Archives that lead outside, hold what is no file, lie about their sizes or swell."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.hostile.case import Case, marker, raw_folder, secret
from tests.hostile.tars import (
    HONEST,
    Named,
    tar,
    tar_after_end,
    tar_bomb,
    tar_cut,
    tar_long_header,
    tar_named,
    tar_pair,
    tar_patched,
    tar_records,
    tar_special,
    tar_through_link,
    tar_without_end,
    zstandard,
)
from tests.hostile.twins import declared, source

# ---- zip, written member by member so that any field can lie


class Zip:
    """A zip whose every field can be set."""

    def __init__(self) -> None:
        self.local, self.central, self.count = b"", b"", 0

    def add(
        self,
        name: bytes,
        data: bytes = b"x\n",
        *,
        listed: bytes | None = None,
        method: int = zipfile.ZIP_STORED,
        flags: int = 0x800,
        size: int | None = None,
        attributes: int = 0,
        at: int | None = None,
        extra: bytes = b"",
        packed: bytes | None = None,
    ) -> Zip:
        """Add a member; ``listed``, ``size`` and ``at`` are what the directory says instead."""
        if packed is None:
            engine = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = data if method != 8 else engine.compress(data) + engine.flush()
        crc = zlib.crc32(data)
        sizes = struct.pack("<3I", crc, len(packed), len(data) if size is None else size)
        start = len(self.local) if at is None else at
        form = struct.pack("<5H", 20, flags, method, 0, 33)
        if at is None:
            lengths = struct.pack("<2H", len(name), len(extra))
            self.local += b"PK\x03\x04" + form + sizes + lengths + name + extra + packed
        shown = name if listed is None else listed
        self.central += b"PK\x01\x02" + struct.pack("<H", 3 << 8 | 20) + form + sizes
        self.central += struct.pack("<5H2I", len(shown), 0, 0, 0, 0, attributes, start) + shown
        self.count += 1
        return self

    def write(self, folder: Path, count: int | None = None) -> Path:
        """Write the archive and return its path."""
        number = self.count if count is None else count
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, number, number,
                          len(self.central), len(self.local), 0)  # fmt: skip
        path = raw_folder(folder) / "synthetic.zip"
        path.write_bytes(self.local + self.central + end)
        return path


def honest_zip() -> Zip:
    return Zip().add(HONEST[0].encode(), HONEST[1])


def zip_named(name: str | Named, folder: Path) -> Path:
    """A zip with a member of a name."""
    told = name if isinstance(name, str) else name(folder)
    return honest_zip().add(told.encode("utf-8", "surrogateescape")).write(folder)


def zip_pair(first: str, second: str, folder: Path) -> Path:
    """A zip with two members that may be one file."""
    return honest_zip().add(first.encode()).add(second.encode()).write(folder)


def zip_special(kind: int, content: str | Named, folder: Path) -> Path:
    """A zip with a member of a special kind, a link to a place perhaps."""
    told = content if isinstance(content, str) else content(folder)
    attributes = (kind | 0o777) << 16
    return honest_zip().add(b"linked.edf", told.encode(), attributes=attributes).write(folder)


def zip_through_link(folder: Path) -> Path:
    outside = marker(folder).parent
    link = (stat.S_IFLNK | 0o777) << 16
    file = honest_zip().add(b"away", str(outside).encode(), attributes=link)
    return file.add(b"away/marker").write(folder)


def zip_quoted(folder: Path) -> Path:
    """Two members of one run of bytes: the first one's extra field quotes the second's header."""
    inner = Zip().add(b"second.txt", b"y" * 100)
    file = Zip()
    file.add(b"first.txt", b"y" * 100, extra=inner.local[:-100])
    file.add(b"second.txt", b"y" * 100, at=30 + len(b"first.txt"))
    return file.write(folder)


def zip_cut(folder: Path) -> Path:
    path = honest_zip().add(b"a.txt", b"z" * 1000).write(folder)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def zip_nested(folder: Path) -> Path:
    """A valid recording three archives deep: none but the outermost is unpacked."""
    base = source("edf.TestEdf", folder)
    data, name = next(iter(base.glob("*.edf"))).read_bytes(), "a.edf"
    shutil.rmtree(base)
    for depth in range(3):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(name, data)
        data, name = stream.getvalue(), f"depth{depth}.zip"
    path = raw_folder(folder) / "synthetic.zip"
    path.write_bytes(data)
    return path


def zip_bomb(folder: Path) -> Path:
    return honest_zip().add(b"zeros.dat", bytes(96 * 2**20), method=8).write(folder)


def zip_wide(folder: Path) -> Path:
    """A directory that says it is of 2^40 bytes and 2^40 members."""
    path = honest_zip().write(folder)
    whole = path.read_bytes()
    at = whole.rindex(b"PK\x05\x06")
    wide = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *[2**40] * 4)
    wide += struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    path.write_bytes(whole[:at] + wide + whole[at : at + 8] + b"\xff" * 12 + whole[at + 20 :])
    return path


# ---- the lists

NAMES: tuple[tuple[str, str, str | Named], ...] = (
    ("parent", "a member named ../ that escapes from the folder", "../escaped.edf"),
    ("parent-inside", "a name that goes in and further out", "a/../../escaped.edf"),
    ("parent-at-end", "a name that ends upwards", "a/.."),
    ("sibling", "a folder beside whose name begins alike", "../synthetic_sibling/escaped.edf"),
    ("absolute", "an absolute name", lambda folder: str(marker(folder))),
    ("drive", "a name on a drive", "C:/escaped.edf"),
    ("drive-relative", "a name relative to a drive", "C:escaped.edf"),
    ("unc", "a name on another machine", "//server/share/escaped.edf"),
    ("unc-backslash", "a name on another machine, as Windows writes it", "\\\\server\\c$\\a.edf"),
    ("backslash", "a name that Windows takes upwards", "..\\escaped.edf"),
    ("empty-part", "a name with an empty part", "a//b.edf"),
    ("dot-part", "a name with the part .", "a/./b.edf"),
    ("newline", "a name of two lines", "a.edf\nb.edf"),
    ("terminal", "a name that paints the terminal", "a\x1b[2Jb.edf"),
    ("device", "the console of Windows", "CON"),
    ("device-suffix", "a device of Windows with a suffix", "data/aux.edf"),
    ("device-port", "a port of Windows", "lpt1.tar.gz"),
    ("point-at-end", "a point that Windows drops", "a.edf."),
    ("blank-at-end", "a blank that Windows drops", "a /b.edf"),
    ("stream", "a hidden stream of Windows, on a drive of one letter", "data/a:b.edf"),
    ("long", "a part of 300 letters", "n" * 300 + ".edf"),
    ("long-whole", "a name of 2,000 letters", "/".join(["n" * 99] * 20)),
    ("deep", "a hundred folders", "/".join("d" * 100) + "/a.edf"),
    ("right-to-left", "a mark that turns the suffix round", "a\u202efde.exe"),
    ("unseen", "a mark without width", "a\u2060.edf"),
)
PAIRS: tuple[tuple[str, str, str, str], ...] = (
    ("twice", "two members of one name", "a.edf", "a.edf"),
    ("case", "two names that differ in case only", "sub-01/A.edf", "sub-01/a.edf"),
    ("case-folder", "two folders that differ in case only", "Sub/a.edf", "sub/b.edf"),
    ("composed", "é as one letter and as two", "caf\u00e9.edf", "cafe\u0301.edf"),
    ("file-and-folder", "a file that is also a folder", "a", "a/b.edf"),
)
Build = Callable[[Path], Path]
ZIPS: tuple[tuple[str, int, str, Build, bool], ...] = (
    ("nul", 20, "a name with a zero byte, which hides its suffix",
     lambda f: honest_zip().add(b"a.edf\0.txt").write(f), False),
    ("not-utf8", 20, "a name that is no text",
     lambda f: honest_zip().add(b"a\xff\xfe.edf", flags=0x800).write(f), False),
    ("symlink", 20, "a symbolic link to a file outside",
     partial(zip_special, stat.S_IFLNK, lambda f: str(secret(f))), True),
    ("symlink-parent", 20, "a symbolic link upwards",
     partial(zip_special, stat.S_IFLNK, "../../outside/secret.bin"), False),
    ("through-link", 20, "a link to a folder outside, then a member below it",
     zip_through_link, True),
    ("pipe", 20, "a named pipe, at which a reader would wait for ever",
     partial(zip_special, stat.S_IFIFO, ""), False),
    ("device-node", 20, "a device", partial(zip_special, stat.S_IFCHR, ""), False),
    ("two-names", 20, "another name in the directory than before the data",
     lambda f: honest_zip().add(b"b.edf", listed=b"a.edf").write(f), False),
    ("overlap", 20, "two members of one place",
     lambda f: honest_zip().add(HONEST[0].encode(), HONEST[1], listed=b"a.edf", at=0).write(f),
     False),
    ("quoted", 21, "a member whose extra field is another member", zip_quoted, False),
    ("encrypted", 20, "an encrypted member",
     lambda f: honest_zip().add(b"a.edf", flags=0x801).write(f), False),
    ("method", 20, "a method of packing that is not known",
     lambda f: honest_zip().add(b"a.edf", method=97).write(f), False),
    ("cut", 20, "a directory that is cut", zip_cut, False),
    ("nested", 21, "a recording in a zip in a zip in a zip", zip_nested, False),
    ("bomb", 21, "96 MB of zeros in 96 kB", zip_bomb, False),
    ("lie-small", 21, "a member that unpacks to more than it states",
     lambda f: honest_zip().add(b"a.edf", bytes(2**24), method=8, size=100).write(f), False),
    ("lie-large", 21, "a member that states 4 GB",
     lambda f: honest_zip().add(b"a.edf", bytes(100), method=8, size=2**32 - 2).write(f), False),
    ("lie-count", 21, "a directory that states 65,534 members",
     lambda f: honest_zip().write(f, 65534), False),
    ("lie-wide", 21, "a directory that states 2^40 members", zip_wide, False),
)  # fmt: skip
TARS: tuple[tuple[str, int, str, Build, bool], ...] = (
    ("symlink", 20, "a symbolic link to a file outside",
     partial(tar_special, tarfile.SYMTYPE, lambda f: str(secret(f))), True),
    ("hardlink", 20, "a hard link to a file outside",
     partial(tar_special, tarfile.LNKTYPE, lambda f: str(secret(f))), True),
    ("through-link", 20, "a link to a folder outside, then a member below it",
     tar_through_link, True),
    ("pipe", 20, "a named pipe", partial(tar_special, tarfile.FIFOTYPE, ""), False),
    ("device-node", 20, "a device", partial(tar_special, tarfile.CHRTYPE, ""), False),
    ("sparse", 21, "a sparse file of GNU tar", partial(tar_patched, 156, b"S"), False),
    ("sparse-records", 21, "a sparse file by extended records",
     partial(tar_records, {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**40)}), False),
    ("records-path", 20, "another name in the extended records",
     partial(tar_records, {"path": "../escaped.edf"}), False),
    ("records-size", 21, "another size in the extended records",
     partial(tar_records, {"size": str(2**40)}), False),
    ("records-for-all", 20, "one name for all members",
     lambda f: tar(f, [], facts={"path": "../escaped.edf"}), False),
    ("long-name", 20, "a long name of GNU tar that leads upwards",
     partial(tar_named, "../" + "n" * 120, form=tarfile.GNU_FORMAT), False),
    ("prefix", 20, "a prefix of POSIX that leads upwards",
     partial(tar_patched, 345, b"../.."), False),
    ("type", 20, "a member of a type that nobody knows", partial(tar_patched, 156, b"Q"), False),
    ("sum", 20, "a header of another sum", partial(tar_patched, 0, b"b", again=False), False),
    ("size", 21, "a member that states 8 GB", partial(tar_patched, 124, b"77777777777"), False),
    ("size-below-0", 21, "a member of less than no bytes",
     partial(tar_patched, 124, b"\xff" * 12), False),
    ("size-wide", 21, "a member of 2^80 bytes",
     partial(tar_patched, 124, b"\x80\0" + (2**79).to_bytes(10, "big")), False),
    ("no-end", 20, "an archive without an end", tar_without_end, False),
    ("after-end", 20, "a second archive after the end", tar_after_end, False),
    ("long-header", 21, "a header of 16 MB in some kB", tar_long_header, False),
    ("gz-bomb", 21, "48 MB of zeros in 48 kB of gzip",
     partial(tar_bomb, "synthetic.tar.gz", gzip.compress), False),
    ("bz2-bomb", 21, "48 MB of zeros in 100 bytes of bzip2",
     partial(tar_bomb, "synthetic.tar.bz2", bz2.compress), False),
    ("xz-bomb", 21, "48 MB of zeros in 8 kB of xz",
     partial(tar_bomb, "synthetic.tar.xz", partial(lzma.compress, preset=0)), False),
    ("zst-bomb", 21, "48 MB of zeros in 2 kB of Zstandard",
     partial(tar_bomb, "synthetic.tar.zst", zstandard), False),
    ("gz-cut", 20, "gzip that is cut", partial(tar_cut, "synthetic.tgz", gzip.compress), False),
    ("xz-cut", 20, "xz that is cut", partial(tar_cut, "synthetic.txz", lzma.compress), False),
)  # fmt: skip
CASES: tuple[Case, ...] = (
    *(Case(f"zip-{name}", 20, story, partial(zip_named, told), name == "absolute")
      for name, story, told in NAMES),
    *(Case(f"zip-{name}", 20, story, partial(zip_pair, first, second))
      for name, story, first, second in PAIRS),
    *(Case(f"zip-{name}", fault, story, build, canary)
      for name, fault, story, build, canary in ZIPS),
    *(Case(f"tar-{name}", 20, story, partial(tar_named, told), name == "absolute")
      for name, story, told in NAMES),
    *(Case(f"tar-{name}", 20, story, partial(tar_pair, first, second))
      for name, story, first, second in PAIRS),
    *(Case(f"tar-{name}", fault, story, build, canary)
      for name, fault, story, build, canary in TARS),
)  # fmt: skip


# ---- honest archives of a recording


def packed(story: str, name: str, pack: Callable[[bytes], bytes], top: str, folder: Path) -> Path:
    """A tar of a valid recording, the names of its members below ``top``."""
    base = source(story, folder)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.add(base, top)
    shutil.rmtree(base)
    path = raw_folder(folder) / name
    path.write_bytes(pack(stream.getvalue()))
    return path


def zipped(story: str, top: str, folder: Path) -> Path:
    """A zip of a valid recording."""
    base = source(story, folder)
    path = base.parent / "synthetic.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for each in sorted(base.rglob("*")):
            file.write(each, top + each.relative_to(base).as_posix())
    shutil.rmtree(base)
    return path.rename(raw_folder(folder) / path.name)


BRAINVISION, EDF = "brainvision.TestBrainVision", "edf.TestEdf"
VALID: tuple[Case, ...] = (
    Case("zip-valid", 0, "a recording of three files in a zip",
         partial(zipped, BRAINVISION, "sub 01/"), facts=partial(declared, BRAINVISION)),
    Case("zip-valid-letters", 0, "a name in the letters of another language",
         partial(zipped, EDF, "données/日本/"), facts=partial(declared, EDF)),
    *(Case(f"{name}-valid", 0, f"a recording of three files in a {name}",
           partial(packed, BRAINVISION, f"synthetic.{name}", pack, top),
           facts=partial(declared, BRAINVISION))
      for name, pack, top in (
          ("tar", bytes, "."), ("tar.gz", gzip.compress, "data"), ("tar.bz2", bz2.compress, "a/b"),
          ("tar.xz", lzma.compress, "."), ("tar.zst", zstandard, "data"))),
)  # fmt: skip
