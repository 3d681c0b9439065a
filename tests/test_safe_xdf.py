"""What pyxdf gives back is compared with what it was given."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurodata.errors import UnreadableError
from neurodata.safe_xdf import Stamps, synced

NONE = np.empty(0)
STREAMS = {3: Stamps(10.0, np.arange(5) / 10, NONE, NONE), 7: Stamps(0.0, NONE, NONE, NONE)}


def stream(number: int, at_s: Any, rate_hz: float = 10.0) -> dict[str, Any]:
    info = {"stream_id": number, "segments": [(0, len(at_s) - 1)], "effective_srate": rate_hz}
    return {"info": info, "time_stamps": at_s}


def library(*streams: dict[str, Any], warning: str = "") -> Any:
    """A stand-in for pyxdf that reads nothing and gives these streams."""

    def load_xdf(_: Any) -> Any:
        if warning:
            logging.getLogger("pyxdf.pyxdf").warning(warning)
        return list(streams), {}

    return SimpleNamespace(load_xdf=load_xdf)


def test_times_come_back_by_stream_with_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    given = library(stream(7, []), stream(3, [1, 2, 3, 4, 5], 9.5), warning="a gap")
    found, said = synced(given, "a.xdf", STREAMS)
    assert found[3].at_s.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (found[3].segments, found[3].rate_hz) == (((0, 4),), 9.5)
    assert said == ["a gap"]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("streams", "found"),
    [
        ((stream(3, [1, 2, 3, 4, 5]),), "other times of stream 7 than its samples"),
        ((stream(3, [1, 2, 3, 4]), stream(7, [])), "other times of stream 3 than its samples"),
        ((stream(3, [1, 2, 3, 4, np.nan]), stream(7, [])), "times of stream 3 that are none"),
        ((stream(3, [1, 2, 3, 4, np.inf]), stream(7, [])), "times of stream 3 that are none"),
    ],
)  # fmt: skip
def test_other_times_than_were_given_are_refused(streams: Any, found: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        synced(library(*streams), "a.xdf", STREAMS)
    assert caught.value.found == found


def test_a_failure_of_the_library_is_a_refusal_and_its_logger_is_left_as_it_was() -> None:
    def load_xdf(_: Any) -> Any:
        raise ZeroDivisionError

    logger = logging.getLogger("pyxdf.pyxdf")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with pytest.raises(UnreadableError, match=r"pyxdf cannot read \(ZeroDivisionError\)"):
        synced(SimpleNamespace(load_xdf=load_xdf), "a.xdf", STREAMS)
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_what_pyxdf_reads_is_what_was_given() -> None:
    pyxdf = pytest.importorskip("pyxdf")
    at_s = np.arange(200) / 100.0
    offsets = np.linspace(0, 2, 5)
    streams = {1: Stamps(100.0, at_s, offsets, np.full(5, 12.5))}
    found, said = synced(pyxdf, "a.xdf", streams)
    np.testing.assert_allclose(found[1].at_s, at_s + 12.5, atol=1e-6)
    assert (found[1].segments, said) == (((0, 199),), [])
    assert found[1].rate_hz == pytest.approx(100.0)
