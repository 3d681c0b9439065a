"""Reproducible damage: what is done to the files of one recording, drawn from a seed."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest

import numpy as np

Files = dict[str, bytes]
Kind = str

HEADER_BYTES = 4096
EDGES = (0, 1, 3, 8, 127, 255, 256, 347, 512)
TRUNCATIONS = 20
EXTREMES = (
    *(struct.pack(order + code, value)
      for order in "<>"
      for code, value in (
          ("h", -1), ("h", 0), ("h", 2**15 - 1), ("i", -1), ("i", 0), ("i", 2**31 - 1),
          ("i", -(2**31)), ("q", -1), ("q", 2**63 - 1), ("q", 10**12), ("f", float("nan")),
          ("f", float("inf")), ("d", float("nan")), ("d", -float("inf")), ("d", 1e308),
      )),
)  # fmt: skip
WORDS = (
    b"-1", b"0", b"nan", b"inf", b"1e308", b"-32768", b"2147483647", b"9" * 30, b"1e-320",
    b"7" * 5000, "²".encode(), "٣".encode(), b"1_0", b"0x10",
)  # fmt: skip
NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
MIXED = ("flip", "flip", "zeros", "ones", "number", "number", "repeat", "remove", "swap", "append")
"""What is drawn in turn, once truncations, lies and side-cars are done."""


@dataclass(frozen=True)
class Valid:
    """The files of a valid recording and what may be done to them.

    Parameters
    ----------
    files : dict
        Content by path below the root.
    main : str
        Path of the file that is recognised.
    members : tuple of str
        Paths of all files of the recording, the main one first.
    victims : tuple of str
        Those that are cut and flipped most.
    lies : dict
        Stories of impossible headers of the main file.
    only : str, optional
        The reader that has to be named, where recognition would choose another.
    """

    files: Files
    main: str
    members: tuple[str, ...]
    victims: tuple[str, ...]
    lies: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    only: str | None = None


@dataclass(frozen=True)
class Damage:
    """One case: what was done, in words, the files that are left, and which one was changed."""

    kind: Kind
    story: str
    files: Files
    file: str = ""


def draw(valid: Valid, kinds: tuple[str, ...], count: int, seed: int) -> Iterator[Damage]:
    """Yield ``count`` cases of the kinds asked for; the n-th is the same in every run.

    The order is: truncations (20 of them), impossible headers, side-cars, and then the other
    kinds in turn; of few cases, none of the first three is more than a quarter.
    """
    quarter = count if len(kinds) < 4 else -(-count // 4)
    lists = (
        islice(_truncations(valid), min(TRUNCATIONS, -(-count // 4))),
        islice(_lies(valid), quarter),
        islice(_side_cars(valid), quarter),
    )
    first = (case for case in chain(*lists) if case.kind in kinds)
    rest = [kind for kind in MIXED if kind in kinds]
    yield from islice(chain(first, _mixed(valid, rest, seed) if rest else ()), count)


def _truncations(valid: Valid) -> Iterator[Damage]:
    """Yield cuts of each file in turn: those of the tests, and a few of the others."""
    others = [name for name in valid.members if name not in valid.victims][:3]
    queues = [_cuts(name, valid) for name in (*valid.victims, *others)]
    return (case for row in zip_longest(*queues) for case in row if case)


def _cuts(name: str, valid: Valid) -> Iterator[Damage]:
    whole = valid.files[name]
    size = len(whole)
    drawn = np.random.default_rng(size).integers(1, max(size, 2), TRUNCATIONS)
    ends = (size - 1, size // 2, 0, 1, size - 2, *EDGES, *(int(n) for n in drawn))
    for end in dict.fromkeys(end for end in ends if 0 <= end < size):
        yield _changed(valid, "truncate", f"{name} cut at {end} of {size}", name, whole[:end])


def _lies(valid: Valid) -> Iterator[Damage]:
    whole = valid.files[valid.main]
    for story, lie in valid.lies.items():
        if (told := lie(whole)) != whole:
            yield _changed(valid, "lie", f"{valid.main}: {story}", valid.main, told)


def _side_cars(valid: Valid) -> Iterator[Damage]:
    for name in valid.members[1:6]:
        rest = {other: data for other, data in valid.files.items() if other != name}
        yield Damage("missing", f"{name} missing", rest, name)
        yield _changed(valid, "sidecar", f"{name} empty", name, b"")
        data = valid.files[name]
        other = data[len(data) // 2 :] + data[: len(data) // 3]
        yield _changed(valid, "sidecar", f"{name} of another recording", name, other)


def _mixed(valid: Valid, kinds: list[str], seed: int) -> Iterator[Damage]:
    number = 0
    while True:
        random = np.random.default_rng((seed, number))
        kind = kinds[number % len(kinds)]
        number += 1
        rare = random.random() < 0.2
        names = [n for n in (valid.members if rare else valid.victims) if valid.files[n]]
        name = str(random.choice(names or [valid.main]))
        whole = valid.files[name]
        story, data = KINDS[kind](whole, random)
        if data != whole:
            yield _changed(valid, kind, f"{name}: {story}", name, data)


def _changed(valid: Valid, kind: Kind, story: str, name: str, data: bytes) -> Damage:
    return Damage(kind, story, {**valid.files, name: data}, name)


# the kinds


def _place(size: int, random: np.random.Generator) -> int:
    """Draw an offset: half of them anywhere, half in what may be the header."""
    near = min(size, HEADER_BYTES) if random.random() < 0.5 else size
    return int(random.integers(max(near, 1)))


def _run(size: int, random: np.random.Generator) -> tuple[int, int]:
    first = _place(size, random)
    return first, min(size, first + int(2 ** random.uniform(0, 10)))


def _flip(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    damaged, places = bytearray(whole), []
    for _ in range(int(random.integers(1, 4))):
        at, bit = _place(len(whole), random), int(random.integers(8))
        damaged[at] ^= 1 << bit
        places.append(f"{at}.{bit}")
    return "bits flipped at " + ", ".join(places), bytes(damaged)


def _fill(byte: int) -> Callable[[bytes, np.random.Generator], tuple[str, bytes]]:
    def fill(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
        first, end = _run(len(whole), random)
        story = f"bytes {first} to {end} are {byte:#04x}"
        return story, whole[:first] + bytes([byte]) * (end - first) + whole[end:]

    return fill


def _number(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """Put an extreme number in the place of one of the header, written or binary."""
    found = list(islice(NUMBER.finditer(whole[: 4 * HEADER_BYTES]), 2000))
    if found and random.random() < (0.9 if _is_text(whole) else 0.4):
        spot = found[int(random.integers(len(found)))]
        word = bytes(random.choice(np.array(WORDS, object)))
        padded = word.ljust(len(spot[0])) if random.random() < 0.7 else word
        story = f"{spot[0]!r} at {spot.start()} is {padded!r}"
        return story, whole[: spot.start()] + padded + whole[spot.end() :]
    value = EXTREMES[int(random.integers(len(EXTREMES)))]
    first = _place(len(whole), random) // 2 * 2
    story = f"bytes at {first} are {value.hex()}"
    return story, (whole[:first] + value + whole[first + len(value) :])[: len(whole)]


def _is_text(whole: bytes) -> bool:
    return b"\0" not in whole[:HEADER_BYTES]


def _repeat(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    first, end = _run(len(whole), random)
    return f"bytes {first} to {end} twice", whole[:end] + whole[first:]


def _remove(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    first, end = _run(len(whole), random)
    return f"bytes {first} to {end} removed", whole[:first] + whole[end:]


def _swap(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    first, end = _run(len(whole), random)
    other = min(len(whole), end + (end - first))
    swapped = whole[end:other] + whole[first:end]
    return f"bytes {first} to {other} swapped", whole[:first] + swapped + whole[other:]


def _append(whole: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    count = int(2 ** random.uniform(0, 12))
    trash = [random.bytes(count), bytes(count), whole[:count]][int(random.integers(3))]
    return f"{len(trash)} bytes appended", whole + trash


KINDS: Mapping[Kind, Callable[[bytes, np.random.Generator], tuple[str, bytes]]] = {
    "flip": _flip, "zeros": _fill(0), "ones": _fill(0xFF), "number": _number,
    "repeat": _repeat, "remove": _remove, "swap": _swap, "append": _append,
}  # fmt: skip
ALL = ("truncate", "lie", "missing", "sidecar", *KINDS)
