"""Tables: traces with odd clocks, graphs whose ids do not fit, and spike times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.faults.case import Case
from benchmarks.faults.files import text

CALCIUM = {"modality": "calcium", "units.*": "dF/F"}
EEG = {"modality": "eeg"}
GRAPH = {"directed": 1, "weight_units": "count"}
EDGES = [("1", "2", 5), ("1", "3", 2), ("2", "3", 7), ("3", "1", 1), ("4", "2", 3)]


def cases() -> Iterator[Case]:
    """Yield the cases of this module."""
    yield from _traces()
    yield from _slips()
    yield from _drift()
    yield from _matrices()
    yield from _lists()
    yield from _synapses()
    yield from _spikes()


def values(n: int = 200) -> np.ndarray[Any, Any]:
    """Return traces ``(time, column)`` of relative fluorescence."""
    return np.random.default_rng(5).normal(0, 0.3, (n, 2)).round(5)


def table(header: str, times: Sequence[object], columns: np.ndarray[Any, Any]) -> str:
    """Return a table as text."""
    rows = zip(times, columns.tolist(), strict=True)
    body = "\n".join(",".join([str(time), *(repr(value) for value in row)]) for time, row in rows)
    return f"{header}\n{body}\n"


def _trace(name: str, fault: int, story: str, content: str, **more: Any) -> Case:
    declare = more.pop("declare", CALCIUM)
    build = partial(text, "synthetic.csv", content)
    return Case(f"traces: {name}", fault, story, build, "traces", "synthetic.csv",
                declare=declare, **more)  # fmt: skip


def _traces() -> Iterator[Case]:
    data, ms = values(), [50 * n for n in range(200)]
    s = [n / 20 for n in range(200)]
    right = {"signal": data, "rate_hz": 20.0, "channels": ["a", "b"]}
    for header, times in (
        ("time_s", s), ("t [ms]", ms), ("Time (µs)", [1000 * t for t in ms]),
    ):  # fmt: skip
        content = table(f"{header},a,b", times, data)
        yield _trace(header, 42, f"times in the column {header}", content, truth=right, valid=True)
    odd = table("time,a,b", ms, data)
    yield _trace("time without a unit", 42, "times in no unit that is stated", odd)
    swap: dict[str, list[Any]] = {
        "fall": s[::-1], "stand still": [*s[:9], s[8], *s[10:]], "back": [*s[:9], s[3], *s[10:]],
        "nan": [*s[:9], "nan", *s[10:]], "inf": [*s[:9], "inf", *s[10:]],
        "text": [*s[:9], "soon", *s[10:]],
    }  # fmt: skip
    for name, times in swap.items():
        yield _trace(f"times {name}", 15, f"a column of times with {name}",
                     table("time_s,a,b", times, data))  # fmt: skip
    for rate in (0, -20, 1e9):
        facts = {**CALCIUM, "rate_hz": rate}
        content = "a,b\n" + "\n".join(f"{x},{y}" for x, y in data.tolist()) + "\n"
        yield _trace(f"rate {rate:g} declared", 15, f"{rate:g} Hz declared", content, declare=facts,
                     named="rate")  # fmt: skip
    pause = [t + (60.0 if t >= 5 else 0.0) for t in s]
    yield _trace("a pause", 15, "times with a pause of 60 s", table("time_s,a,b", pause, data),
                 truth={"signal": data, "times_s": pause}, valid=True)  # fmt: skip
    yield _trace("a name twice", 19, "two columns of one name", table("time_s,a,a", s, data))
    yield _trace("a name less", 19, "three columns with two names", table("time_s,a", s, data))
    short = table("time_s,a,b", s, data).replace("\n0.5,", "\n0.5,1,", 1)
    yield _trace("a cell more", 19, "a row with a cell too many", short)


def _slips() -> Iterator[Case]:
    data = np.random.default_rng(6).normal(0, 20, (1000, 2)).round(3)
    s = [f"{n / 250:g}" for n in range(1000)]
    right = {"signal": data * 1e-6, "rate_hz": 250.0, "channels": ["Fp1", "Cz"]}
    for unit, power in (("uV", 0), ("µV", 0), ("nV", -3), ("mV", 3), ("V", 6), ("kV", 9)):
        content = table(f"time_s,Fp1 [{unit}],Cz [{unit}]", s, data)
        story = f"values in µV under a header of {unit}" + (f": off by 10^{power}" if power else "")
        told: dict[str, Any] = {"named": rf"10\^{power}\b"} if power else {"valid": True}
        yield _trace(f"EEG under {unit}", 41, story, content, truth=right, declare=EEG, **told)
    for unit, power in (("ms", 3), ("us", 6)):
        content = table(f"t [{unit}],Fp1 [uV],Cz [uV]", s, data)
        story = f"seconds under a header of {unit}: a rate off by 10^{power}"
        yield _trace(f"seconds under {unit}", 42, story, content, truth=right, declare=EEG,
                     named="rate")  # fmt: skip


def _drift() -> Iterator[Case]:
    n = 36_000
    times = np.arange(n) / 10 * (1 + 50e-6)
    data = values(n)
    content = table("time_s,a,b", [f"{t:.7f}" for t in times], data)
    story = "an hour at 10 Hz by a clock 50 ppm slow: times to less than a sample"
    yield _trace("a clock that drifts", 44, story, content,
                 truth={"signal": data, "times_s": times}, valid=True)  # fmt: skip
    day = np.arange(24 * 3600) * (1 + 1e-6)
    content = table("time_s,a,b", [f"{t:.6f}" for t in day], values(len(day)))
    yield _trace("a day", 15, "a day at 1 Hz by a clock 1 ppm slow", content,
                 truth={"times_s": day}, valid=True)  # fmt: skip


# ---- graphs


def _graph(name: str, fault: int, story: str, file: str, content: str, **more: Any) -> Case:
    declare = more.pop("declare", GRAPH)
    build = partial(text, file, content, **more.pop("others", {}))
    return Case(f"graph: {name}", fault, story, build, main=file, declare=declare, **more)


def _matrices() -> Iterator[Case]:
    facts = {"axes": "source,target", "weight_units": "count"}
    whole, file = "0 2 0 0\n0 0 3 1\n0 5 0 0\n7 0 0 0\n", "synthetic_adjacency.csv"
    labels = "K\nL\nM\nN\n"
    right = {"edges": sorted(["0>1:2", "1>2:3", "1>3:1", "2>1:5", "3>0:7"])}
    turned = {"edges": sorted(["1>0:2", "2>1:3", "3>1:1", "1>2:5", "0>3:7"])}
    yield _graph("a matrix", 0, "rows are sources", file, whole, truth=right, valid=True,
                 declare=facts)  # fmt: skip
    yield _graph("a matrix, turned", 18, "columns are sources, as declared", file, whole,
                 truth=turned, valid=True, declare={**facts, "axes": "target,source"})  # fmt: skip
    yield _graph("axes unknown", 18, "a matrix that is not symmetric, rows or columns first?",
                 file, whole, declare={"weight_units": "count"})  # fmt: skip
    for name, content in (
        ("a row less", whole.partition("\n")[2]),
        ("a cell less", whole.replace("7 0 0 0", "7 0 0")),
        ("a weight NaN", whole.replace("7", "nan")), ("a weight inf", whole.replace("7", "inf")),
        ("a text", whole.replace("7", "x")),
    ):  # fmt: skip
        yield _graph(f"matrix, {name}", 19, f"a square matrix with {name}", file, content,
                     declare=facts)  # fmt: skip
    for name, lines in (("one less", labels[2:]), ("one more", labels + "O\n")):
        yield _graph(f"labels, {name}", 19, f"labels of nodes, {name}", file, whole,
                     declare=facts, others={"synthetic_cell_labels__csv": lines})  # fmt: skip


def _lists() -> Iterator[Case]:
    file = "synthetic.edgelist"
    rows = "".join(f"{a} {b} {w}\n" for a, b, w in EDGES)
    right = {"edges": sorted(f"{a}>{b}:{w}" for a, b, w in EDGES)}
    yield _graph("a list", 0, "five edges of four nodes", file, rows, truth=right, valid=True)
    for name, content in (
        ("a cell less", rows.replace("2 3 7", "2 3")), ("a text", rows.replace("2 3 7", "2 3 x")),
        ("a weight NaN", rows.replace("2 3 7", "2 3 nan")),
        ("an id of a float", rows.replace("2 3 7", "2.5 3 7")),
        ("an id that is rounded", rows.replace("2 3 7", "7.20575940621e+17 3 7")),
    ):  # fmt: skip
        yield _graph(f"list, {name}", 19, f"a list of edges with {name}", file, content)
    big = 720575940621039145
    ends = [(big, big + 1, 5), (big, big + 2, 2), (big + 1, big + 2, 4), (big + 3, big, 6)]
    both = "".join(f"{a} {b} {w}\n" for a, b, w in ends)
    story = "ids of 60 bits, which a float64 rounds"
    truth = {"edges": sorted(f"{a}>{b}:{w}" for a, b, w in ends)}
    yield _graph("ids of 60 bits", 43, story, file, both, truth=truth, valid=True)


def _synapses() -> Iterator[Case]:
    file = "traced-total-connections.csv"
    head, body = "bodyId_pre,bodyId_post,weight", "1,2,5\n1,3,2\n2,3,7\n"
    neurons = "bodyId,type,instance\n1,A,A_R\n2,B,B_R\n3,C,C_R\n"
    facts = {"weight_units": "count"}
    right = {"edges": ["1>2:5", "1>3:2", "2>3:7"]}
    others = {"traced-neurons__csv": neurons}
    yield _graph("connections", 0, "three connections, three neurons", file, f"{head}\n{body}",
                 truth=right, valid=True, declare=facts, others=others)  # fmt: skip
    less = {"traced-neurons__csv": neurons.replace("3,C,C_R\n", "")}
    yield _graph("an id without a neuron", 19, "a connection to an id that the table of neurons "
                 "lacks", file, f"{head}\n{body}", declare=facts, others=less,
                 named="neuron|id")  # fmt: skip
    twice = {"traced-neurons__csv": neurons + "3,D,D_R\n"}
    yield _graph("a neuron twice", 19, "an id with two rows in the table of neurons", file,
                 f"{head}\n{body}", declare=facts, others=twice,
                 named="twice|more than once|id")  # fmt: skip


# ---- spikes


def _spikes() -> Iterator[Case]:
    times = np.cumsum(np.random.default_rng(2).integers(2000, 90_000, 300))
    facts = {"time_units": "us", "start_s": 0, "stop_s": 20}
    file = "synthetic.txt"

    def case(name: str, fault: int, story: str, lines: Sequence[object], **more: Any) -> Case:
        content = "".join(f"{line}\n" for line in lines)
        declare = {**facts, **more.pop("facts", {})}
        build = partial(text, file, content)
        return Case(f"spikes: {name}", fault, story, build, "spike_text", file, declare=declare,
                    **more)  # fmt: skip

    right = {"spike_s": times * 1e-6}
    yield case("a train", 0, "300 spikes in 20 s", times.tolist(), truth=right, valid=True)
    for name, lines in (
        ("fall", times[::-1].tolist()), ("NaN", [*times[:5], "nan", *times[6:]]),
        ("inf", [*times[:5], "inf", *times[6:]]), ("negative", [-5, *times.tolist()]),
        ("text", [*times[:5], "soon", *times[6:]]),
    ):  # fmt: skip
        yield case(f"times {name}", 15, f"times of spikes, some {name}", lines)
    late = {"stop_s": 1}
    yield case("after the end", 44, "spikes after the declared end", times.tolist(), facts=late)
    for unit, power, limit in (
        ("s", 6, ""), ("ms", 3, "a list of spike times states no unit, and a neuron may be slow"),
    ):  # fmt: skip
        more = {"limit": limit, "facts": {"time_units": unit, "stop_s": 20 * 10**power}}
        story = f"times in µs declared to be in {unit}: off by 10^{power}"
        yield case(f"µs said to be {unit}", 42, story, times.tolist(), truth=right,
                   named=rf"10\^{power}\b", **more)  # fmt: skip
