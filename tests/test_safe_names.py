"""Names in archives: of one meaning on every system, up to exactly which length and depth."""

from __future__ import annotations

import pytest

from neurodata.errors import UnsafeError
from neurodata.safe_names import Names, check_portable, parts


@pytest.mark.parametrize("name", ["a", "a/b.txt", ".hidden", "...", "a..b/c", "é/日本.dat", "ab:c"])
def test_plain_names_have_parts(name: str) -> None:
    assert parts(name, "a.zip") == tuple(name.split("/"))


@pytest.mark.parametrize(
    "name",
    ["", "/", "/a", "a/", "a//b", ".", "..", "./a", "a/..", "a/./b", "a\\b", "C:a", "z:/a",
     "a\0b", "a\nb", "a\x1fb"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(UnsafeError, match=r"a\.zip: found the name .* which leads elsewhere"):
        parts(name, "a.zip")


@pytest.mark.parametrize(
    "name",
    ["a b", " a", "console.txt", "com", "com10", "lpt", "com4x/a", "xcon", "a.con", "ab:c", "1:a",
     "fam\u200dily", "x\u200cy", "é"],
)  # fmt: skip
def test_names_that_every_system_holds(name: str) -> None:
    check_portable(tuple(name.split("/")), "a.zip")


@pytest.mark.parametrize(
    ("name", "told"),
    [("CON", "device, 'CON'"), ("aux.txt", "device"), ("x/nul .tar.gz", "device"),
     ("com0", "device"), ("COM¹", "device"), ("lpt9.x", "device"), ("conin$", "device"),
     ("CONOUT$.a", "device"), ("prn", "device"), ("a.", "the part 'a.'"), ("a /b", "part 'a '"),
     ("x/C:a", "the part 'C:a'"), ("a\x7f", "not printed"), ("a\u200e", "not printed"),
     ("a\u2028", "not printed"), ("a\u2029", "not printed"), ("a\ud800", "not printed")],
)  # fmt: skip
def test_names_that_some_system_takes_otherwise_are_refused(name: str, told: str) -> None:
    with pytest.raises(UnsafeError, match="names that every system can hold") as caught:
        check_portable(tuple(name.split("/")), "a.zip")
    assert told in caught.value.found


def test_names_are_as_long_and_deep_as_can_be_and_no_more() -> None:
    whole = ("p" * 255, "p" * 255, "p" * 255, "p" * 255, "q")  # 4 * 255 + 1 + 4 = 1025
    for fits in (("p" * 255,), ("é" * 127,), ("d",) * 64, (*whole[:3], "p" * 254, "q")):
        check_portable(fits, "a.zip")
    for odd, told in (
        (("p" * 256,), "a part of over 255 bytes"), (("é" * 128,), "a part of over 255 bytes"),
        (("d",) * 65, "is 65 deep and 129 letters long"), (whole, "is 5 deep and 1025 letters"),
    ):  # fmt: skip
        with pytest.raises(UnsafeError) as caught:
            check_portable(odd, "a.zip")
        assert told in caught.value.found


def test_long_names_are_shown_in_part() -> None:
    letters = "abcdefghij" * 9
    for name, shown in (
        (letters[:79] + "/", letters[:79] + "/"),
        (letters[:80] + "/", letters[:60] + "…fghijabcdefghij/"),
    ):
        with pytest.raises(UnsafeError) as caught:
            parts(name, "a.zip")
        assert caught.value.found == f"the name {shown!r}, which leads elsewhere"


def test_files_and_folders_are_counted_with_those_that_names_ask_for() -> None:
    names = Names("a.zip")
    assert names.add("a/b/c.txt", is_folder=False) == ("a", "b", "c.txt")
    assert len(names) == 3
    assert names.add("a/b", is_folder=True) == ("a", "b")
    assert names.add("a/b", is_folder=True) == ("a", "b")
    assert names.add("a/d.txt", is_folder=False) == ("a", "d.txt")
    assert len(names) == 4


@pytest.mark.parametrize(
    ("first", "second"),
    [(("a.txt", False), ("a.txt", False)), (("a.txt", False), ("A.TXT", False)),
     (("a", False), ("a", True)), (("a", True), ("a", False)), (("a/x", False), ("a", False)),
     (("a", False), ("a/x", False)), (("a/x", False), ("A/y", False)), (("a", True), ("A", True)),
     (("é", False), ("e\u0301", False)), (("straße", False), ("STRASSE", False)),
     (("ǰ", False), ("J\u030c", False))],
)  # fmt: skip
def test_two_names_of_one_file_on_some_system_are_refused(
    first: tuple[str, bool], second: tuple[str, bool]
) -> None:
    names = Names("a.zip")
    names.add(*first)
    with pytest.raises(UnsafeError, match="a name that is also") as caught:
        names.add(*second)
    assert caught.value.where == f"a.zip: {second[0]!r}"
