"""The report: pictures that a person of the field can read, on a page that loads nothing."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from scipy import signal as scipy_signal

from neurodata.clock import regular_time
from neurodata.errors import InvalidInputError, NotFoundError, Problem
from neurodata.physical import physical
from neurodata.report import draw, picture, recording_picture, write_report
from neurodata.report.canvas import figure
from neurodata.report.pictures import nodes_to_draw
from neurodata.report.pictures_graphs import adjacency, classes_of
from neurodata.report.pictures_microscopy import outlines
from neurodata.report.pictures_series import envelope, power_spectrum
from neurodata.report.pictures_volumes import draw_plane, moments, planes
from neurodata.splits import Split
from neurodata.store import Store, open_store
from tests.synthetic_trees import synthetic_eeg

CANARY = "<script>alert('x')</script>"
SAMPLES = {
    "eeg_fp1/test_utf8": {"eeg", "annotations"},
    "gripforce_ieeg/sub-testsub_ses-EphysMedOff_task-gripforce_run-0_ieeg": {"ieeg", "misc"},
    "miniscope_mouse/A0634-210127": {"traces", "rois"},
    "fmri_small/fmri1": {"bold"},
    "mri_anatomical/anatomical": {"anat"},
    "mushroom_body/left_adjacency": {"graph"},
    "nuclei/img2d": {"image", "instances"},
    "nuclei/img3d": {"image", "instances"},
    "spikes_mouse/A8604-211122": {"units", "epochs"},
}


# --- synthetic recordings ---------------------------------------------------------------------


def strings(values: list[str]) -> np.ndarray:
    return np.array(values, dtype=object)


def traces(
    values: object, rate_hz: float = 100.0, kind: str = "EEG", units: str = "V"
) -> xr.Dataset:
    n, channels = values.shape  # type: ignore[attr-defined]
    data = xr.Dataset(
        {"signal": (("time", "channel"), values, {"units": units})},
        coords={
            "channel": strings([f"c{i}" for i in range(channels)]),
            "type": ("channel", strings([kind] * channels)),
            "units": ("channel", strings([units] * channels)),
        },
        attrs={"representation": "timeseries", "schema": "timeseries/1", "start_s": 0.0,
               "rate_hz": rate_hz, "n": n},
    )  # fmt: skip
    return data.assign_coords(regular_time(0.0, rate_hz, n))


def intervals(starts: list[float], durations: list[float], labels: list[str]) -> xr.Dataset:
    return xr.Dataset(
        {
            "start_s": ("interval", np.array(starts, "float64")),
            "duration_s": ("interval", np.array(durations, "float64")),
            "label": ("interval", strings(labels)),
        },
        attrs={"representation": "intervals", "schema": "intervals/1"},
    )


def spikes(trains: list[list[float]]) -> xr.Dataset:
    return xr.Dataset(
        {
            "time_s": ("spike", np.array([t for train in trains for t in train], "float64")),
            "row_splits": ("split", np.cumsum([0, *map(len, trains)])),
        },
        coords={"unit_id": ("unit", strings([str(i) for i in range(len(trains))]))},
        attrs={"representation": "spikes", "schema": "spikes/1"},
    )


def graph(edges: list[tuple[int, int, float]], classes: list[str], directed: int = 1) -> xr.Dataset:
    source, target, weight = (np.array(v) for v in zip(*edges, strict=True)) if edges else [[]] * 3
    return xr.Dataset(
        {
            "source": ("edge", np.asarray(source, "int64")),
            "target": ("edge", np.asarray(target, "int64")),
            "weight": ("edge", np.asarray(weight, "float64")),
            "row_splits": ("split", np.zeros(len(classes) + 1, "int64")),
        },
        coords={
            "node_id": ("node", strings([str(i) for i in range(len(classes))])),
            "cell_class": ("node", strings(classes)),
        },
        attrs={"representation": "graph", "directed": directed, "weight_units": "count"},
    )


def volume(image: object, affine: np.ndarray | None = None, dims: str = "zyx") -> xr.Dataset:
    names = [{"t": "time", "c": "channel"}.get(d, d) for d in dims]
    data = xr.Dataset(
        {"image": (names, image, {"units": "a.u."})}, attrs={"representation": "volume"}
    )
    if affine is not None:
        return data.assign(affine=(("row", "col"), affine, {"units": "mm"}))
    space = [d for d in names if d in "zyx"]
    data = data.assign_coords(spatial=space)
    return data.assign(spacing=("spatial", [0.5] * len(space), {"units": "um"}))


def instances(label: np.ndarray) -> xr.Dataset:
    dims = ["layer", "z", "y", "x"][-label.ndim :] if label.ndim == 4 else ["layer", "y", "x"]
    return xr.Dataset(
        {"label": (dims, label), "instance_id": ("instance", np.unique(label[label > 0]))},
        attrs={"representation": "instances", "image_node": "image"},
    )


def tree(**nodes: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict({f"/{name}": data for name, data in nodes.items()})


def pixels(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def has_content(png: bytes) -> bool:
    """Say whether at least a thousandth of a picture, and 100 pixels, are not white."""
    dark = (pixels(png) < 250).any(axis=2)
    return bool(dark.mean() > 0.001 and dark.sum() > 100)


# --- every representation has a picture -------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_every_node_of_the_samples_is_drawn(sample_store: Store, name: str) -> None:
    recording = sample_store[name]
    assert set(nodes_to_draw(recording)) >= SAMPLES[name]
    for node in SAMPLES[name]:
        drawing = draw(recording, node)
        assert has_content(drawing.png)
        assert name in drawing.caption
        assert node in drawing.caption or node in drawing.nodes
    assert recording_picture(recording) == picture(recording, next(nodes_to_draw(recording)))


def test_a_picture_of_traces_shows_the_footprints_and_one_of_an_image_its_masks(
    sample_store: Store,
) -> None:
    assert draw(sample_store["miniscope_mouse/A0634-210127"], "traces").nodes == ("traces", "rois")
    assert draw(sample_store["nuclei/img2d"], "image").nodes == ("image", "instances")


NOISE = np.random.default_rng(0).normal(size=(400, 3)).astype("float32")
BROKEN = NOISE.copy()
BROKEN[50:60, 0], BROKEN[:, 1], BROKEN[:, 2] = np.nan, np.nan, 1.0
MASK = np.zeros((1, 12, 12), "uint16")
MASK[0, 2:6, 3:9] = 7
STACK = np.random.default_rng(1).normal(size=(6, 12, 12)).astype("float32")

SYNTHETIC = {
    "gaps, a channel of NaN and a flat one": ("a", tree(a=traces(BROKEN))),
    "a single sample": ("a", tree(a=traces(NOISE[:1]))),
    "behaviour": ("a", tree(a=traces(NOISE, kind="MISC", units="rad"))),
    "an irregular clock": (
        "a",
        tree(a=traces(NOISE).drop_vars("time").assign_coords(time=np.arange(400) ** 1.1)
             .drop_attrs(deep=False).assign_attrs(representation="timeseries")),
    ),
    "magnetometers": ("a", tree(a=traces(NOISE * 1e-13, kind="MEGMAG", units="T"))),
    "intervals without duration": ("a", tree(a=intervals([1, 2], [np.nan, 0.5], ["x$y$", "z"]))),
    "no intervals": ("a", tree(a=intervals([], [], []), b=traces(NOISE))),
    "spikes": ("a", tree(a=spikes([[0.5, 1.0], [], [0.7]]), b=intervals([0], [1], ["run"]))),
    "no spikes": ("a", tree(a=spikes([[], []]))),
    "a graph with signs": ("a", tree(a=graph([(0, 1, -2.0), (1, 2, 5.0)], ["x", "y", "y"]))),
    "an undirected graph": ("a", tree(a=graph([(0, 1, 2.0)], ["x", "y"], directed=0))),
    "no edges": ("a", tree(a=graph([], ["x", "x"]))),
    "a stack with masks": (
        "image",
        tree(image=volume(STACK), masks=instances(np.stack([MASK] * 6, axis=1))),
    ),
    "channels": ("image", tree(image=volume(STACK[:2], dims="cyx"))),
    "a movie": ("image", tree(image=volume(STACK, dims="tyx"))),
    "masks alone": ("masks", tree(masks=instances(MASK))),
    "diffusion": ("dwi", tree(dwi=volume(np.stack([STACK] * 3), np.eye(4), dims="tzyx"))),
    "complex slices": ("a", tree(a=volume(STACK * (1 + 1j), np.diag([1.0, 1, 3, 1])))),
    "a constant volume": ("a", tree(a=volume(np.ones((3, 4, 5)), np.eye(4)))),
    "a table": (
        "t",
        tree(t=xr.Dataset({"age": ("row", [1.0, np.nan]), "sex": ("row", strings(["m", "f"]))},
                          attrs={"representation": "table"})),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SYNTHETIC)
def test_unusual_recordings_are_drawn_too(case: str) -> None:
    node, recording = SYNTHETIC[case]
    assert has_content(picture(recording, node))


def test_an_unknown_node_and_raw_form_are_refused() -> None:
    recording = tree(a=traces(NOISE).rename(signal="signal_adc"))
    with pytest.raises(NotFoundError, match=r"one of \['a'\]"):
        picture(recording, "b")
    with pytest.raises(InvalidInputError, match=r"draw store\[id\]"):
        picture(recording, "a")
    with pytest.raises(NotFoundError, match="no node to draw"):
        recording_picture(xr.DataTree())


def test_only_what_is_drawn_is_read() -> None:
    """Terabytes of lazy zeros are drawn from a few slabs; reading them all would not end."""
    samples = da.zeros((2 * 10**9, 64), chunks=(10**5, 64), dtype="float32")
    assert has_content(picture(tree(a=traces(samples, rate_hz=30_000.0)), "a"))
    stack = da.zeros((5000, 4096, 4096), chunks=(1, 4096, 4096), dtype="uint8")
    assert draw(tree(image=volume(stack)), "image").caption.count("planes 2496–2503 of 5000") == 1


# --- anatomical orientation -------------------------------------------------------------------


def oblique(
    permutation: tuple[int, ...], signs: tuple[int, ...], degrees: float = 20
) -> np.ndarray:
    """An affine with axes permuted and flipped, turned about R + A + S, of 1 x 2 x 3 mm voxels."""
    turn = np.radians(degrees)
    u = np.ones(3) / np.sqrt(3)
    cross = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
    rotation = np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * cross @ cross
    axes = np.eye(3)[list(permutation)] * np.array(signs)[:, None]
    affine = np.eye(4)
    affine[:3, :3] = rotation @ axes.T * np.array([1.0, 2.0, 3.0])
    affine[:3, 3] = (5.0, -7.0, 11.0)
    return affine


ORIENTATIONS = [
    *(((0, 1, 2), signs) for signs in product((1, -1), repeat=3)),
    *((order, (1, -1, -1)) for order in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))),
]


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_right_anterior_superior_is_drawn_towards_those_letters(
    permutation: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    """Brightness by world coordinates; then the pixels between the letters are looked at."""
    affine = oblique(permutation, signs)
    shape = (13, 11, 9)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    centre = (np.array(shape) // 2) @ affine[:3, :3].T + affine[:3, 3]
    for plane_axis, (horizontal, vertical) in enumerate(((1, 2), (0, 2), (0, 1))):
        for world_axis in (horizontal, vertical):
            image = (world[..., world_axis] > centre[world_axis] + 0.5).astype("float64")
            plane = planes(xr.DataArray(image.T, dims=("z", "y", "x")), affine)[plane_axis]
            near, far = _brightness_beside_letters(plane, "RAS"[world_axis], "LPI"[world_axis])
            assert near > far + 0.5


def _brightness_beside_letters(plane: object, near: str, far: str) -> tuple[float, float]:
    drawn = figure(1.6, 1.6)
    ax = drawn.subplots()
    draw_plane(ax, plane, (0.0, 1.0), 2.0)
    spots = {text.get_text(): np.array(text.get_position()) for text in ax.texts}
    for artist in [*ax.texts, *ax.lines]:
        artist.set_visible(False)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba())[::-1, :, 0] / 255
    found = []
    for letter in (near, far):
        inwards = 0.5 + (spots[letter] - 0.5) * 0.75
        x, y = ax.transAxes.transform(inwards).astype(int)
        found.append(float(shown[y - 2 : y + 3, x - 2 : x + 3].mean()))
    return found[0], found[1]


def test_slices_keep_the_proportions_of_anisotropic_voxels() -> None:
    affine = np.diag([1.0, 2.0, 5.0, 1.0])
    for plane, size_mm in zip(
        planes(xr.DataArray(STACK, dims=("z", "y", "x")), affine),
        ((30, 24), (30, 12), (24, 12)),
        strict=True,
    ):
        drawn = figure(4.0, 4.0)
        ax = drawn.subplots()
        draw_plane(ax, plane, (0.0, 1.0), 2.0)
        FigureCanvasAgg(drawn).draw()
        box = ax.get_images()[0].get_window_extent()
        assert box.height / box.width == pytest.approx(size_mm[0] / size_mm[1], rel=0.02)


def test_an_oblique_grid_is_said_to_be_oblique(sample_store: Store) -> None:
    assert "12° off" in draw(sample_store["fmri_small/fmri1"], "bold").caption
    assert "off the letters" not in draw(sample_store["mri_anatomical/anatomical"], "anat").caption


# --- the numbers in pictures ------------------------------------------------------------------


def test_power_spectrum_is_that_of_scipy() -> None:
    values = np.random.default_rng(2).normal(size=(1000, 2))
    frequency, power = power_spectrum(values, 128.0)
    expected = scipy_signal.welch(values, 128.0, "hann", nperseg=256, axis=0, detrend="constant")
    np.testing.assert_allclose(frequency, expected[0])
    np.testing.assert_allclose(power, expected[1], rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 40))
def test_thinned_traces_keep_every_peak(values: list[float], columns: int) -> None:
    time_s = np.arange(len(values)) / 10
    thin_s, thin = envelope(time_s, np.array(values), columns)
    assert (thin.min(), thin.max()) == (min(values), max(values))
    assert len(thin) <= max(len(values), 2 * columns)
    assert (np.diff(thin_s) >= 0).all()
    assert (thin_s[0], thin_s[-1]) == (time_s[0], time_s[-1])


def test_moments_are_those_of_numpy_also_far_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurodata.report.pictures_volumes.SLAB_VALUES", 150)
    run = 1e6 + np.random.default_rng(3).normal(size=(7, 2, 5, 6))
    found = moments(xr.DataArray(da.from_array(run), dims=("time", "z", "y", "x")))
    np.testing.assert_allclose(found.mean, run.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, run.std(axis=0, ddof=1), rtol=1e-6)
    np.testing.assert_allclose(found.trace, run.mean(axis=(1, 2, 3)), rtol=1e-12)


def test_matrix_has_source_in_rows_and_classes_together() -> None:
    data = graph([(0, 3, 5.0), (1, 0, 2.0), (2, 1, 7.0)], ["a", "b", "a", "b"])
    data = data.isel(node=[0, 1, 2, 3])
    classes = classes_of(data)
    matrix, step = adjacency(data, classes.rank)
    order = [0, 2, 1, 3]
    dense = np.zeros((4, 4))
    dense[0, 3], dense[1, 0], dense[2, 1] = 5, 2, 7
    assert (classes.column, classes.names, classes.counts, step) == (
        "cell_class", ["a", "b"], [2, 2], 1,
    )  # fmt: skip
    np.testing.assert_array_equal(matrix, dense[np.ix_(order, order)])


def test_large_graphs_are_summed_into_cells() -> None:
    data = graph([(0, 2499, 1.0), (1, 2498, 2.0)], ["a"] * 2500)
    matrix, step = adjacency(data, classes_of(data).rank)
    assert (step, matrix.shape) == (3, (834, 834))
    assert matrix[0, 832] + matrix[0, 833] == matrix.sum() == 3


@given(st.integers(1, 6), st.integers(1, 6))
def test_outline_of_a_rectangle_is_its_perimeter(high: int, wide: int) -> None:
    labels = np.zeros((10, 10), "uint8")
    labels[2 : 2 + high, 2 : 2 + wide] = 3
    segments = outlines(labels)
    assert len(segments) == 2 * (high + wide)
    assert (segments.min(axis=(0, 1)) == [2, 2]).all()
    assert (segments.max(axis=(0, 1)) == [2 + wide, 2 + high]).all()


# --- the page ---------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects what a browser would load or run, and what it would show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str]] = []
        self.handlers: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.links += [found[n] for n in ("src", "href", "srcset", "data", "action") if n in found]
        self.handlers += [name for name in found if name.startswith("on")]
        if tag == "img":
            self.images.append(found)

    def handle_data(self, data: str) -> None:
        self.words += data


def score(model: str, value: float | None, **more: object) -> dict[str, object]:
    return {
        "task": "t", "title": "Some task", "dataset": "d", "model": model, "role": "model",
        "metric": "error", "higher_is_better": False, "value": value, "low": None, "high": None,
        "n_test": 12, "units": "V", "split_digest": "0123456789abcdef", "seed": 3, "seconds": 1.0,
        "note": "", **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def page(sample_store: Store, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "new" / "folder" / "report.html"
    ids = sample_store.ids("eeg_fp1")
    sides = zip(ids, ("train", "test"), strict=True)
    parts = [
        {"id": i, "version": sample_store.version(i), "group": i, "split": s} for i, s in sides
    ]
    split = Split.sealed("eeg_fp1", "session", "", {"train": 0.5, "test": 0.5}, None, parts)
    scores = [score("base", 2.0, role="baseline"), score("net", 1.0, low=0.5, high=1.5)]
    assert write_report(sample_store, out, splits=[split], scores=scores) == out
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    return out.read_text("utf-8")


def test_the_page_is_whole_and_loads_nothing(page: str) -> None:
    found = Page(page)
    assert {"script", "link", "iframe", "object", "embed", "base"}.isdisjoint(found.tags)
    assert not found.handlers
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in found.links)
    assert "url(" not in page
    assert "@import" not in page
    assert "http" not in page.split("<body>")[0]
    assert len(page) < 8e6


def test_every_picture_decodes_and_has_a_text_alternative(page: str) -> None:
    images = Page(page).images
    assert len(images) >= len(SAMPLES)
    for image in images:
        assert len(image["alt"]) > 20
        assert has_content(base64.b64decode(image["src"].partition(",")[2]))
    assert len({image["alt"] for image in images}) == len(images)


def test_the_page_names_every_recording_with_version_nodes_and_licence(
    page: str, sample_store: Store
) -> None:
    words = Page(page).words
    for name in sample_store.ids():
        manifest = sample_store.manifest(name)
        assert name in words
        assert sample_store.version(name)[:8] in words
        assert all(node in words for node in manifest["nodes"])
        assert manifest["attrs"]["licence"] in words
    assert "89,344 time × 1 channel, 128 Hz, V" in words


def test_the_page_audits_splits(page: str) -> None:
    section = page.split('id="splits"')[1].split('id="scores"')[0]
    assert '<span class="level error">error</span>' in section
    assert "side-train" in section
    assert "side-test" in section


def test_the_page_ranks_scores_and_marks_the_baseline(page: str) -> None:
    section = page.split('id="scores"')[1]
    words = Page(section).words
    assert words.index("net") < words.index("base (baseline)")
    assert "lower is better" in words
    assert "0.5 to 1.5" in words
    assert "0123456789ab" in words
    assert 'class="baseline"' in section


def test_scores_without_a_value_are_shown_as_such(tmp_path: Path) -> None:
    store = open_store(tmp_path / "empty", create=True)
    scores = [score("net", None), score("far", 90.0, role="baseline"), score("x", 1.0)]
    words = Page(write_report(store, tmp_path / "r.html", scores=scores).read_text("utf-8")).words
    assert "not computed" in words
    assert words.index("net") > words.index("far (baseline)") > words.index("x")


def test_blocks_and_gaps_are_drawn_to_scale(sample_store: Store, tmp_path: Path) -> None:
    name = "nuclei/img2d"
    common = {"id": name, "version": sample_store.version(name), "group": name}
    parts = [
        {**common, "split": "train", "box_zyx": [[0, 1], [0, 300], [0, 512]]},
        {**common, "split": "test", "box_zyx": [[0, 1], [384, 512], [0, 512]]},
    ]
    split = Split.sealed("nuclei", "block", "", {"train": 0.6, "test": 0.4}, 12, parts)
    text = write_report(
        sample_store, tmp_path / "r.html", datasets=["nuclei"], splits=[split], findings={}
    ).read_text("utf-8")
    assert re.search(r'side-test"[^>]*top:75.000%;height:25.000%', text)
    assert "eeg_fp1" not in text


def test_text_from_data_never_becomes_markup(tmp_path: Path) -> None:
    store = open_store(tmp_path / f"a{CANARY.replace('/', '')}", create=True)
    recording = tree(
        eeg=traces(NOISE).assign_coords(channel=strings([CANARY, "b", "c"])),
        events=intervals([1.0, 100.0], [0.5, 0.5], [CANARY, CANARY]),
    )
    recording.attrs.update(modality="eeg", subject=CANARY, licence=CANARY)
    store.publish(recording, dataset="synthetic_canary", recording="a")
    problem = Problem("warning", CANARY, CANARY, CANARY, CANARY)
    scores = [score(CANARY, 1.0, title=CANARY, note=CANARY, metric=CANARY, units=CANARY)]
    out = write_report(
        store, tmp_path / "r.html", scores=scores, findings={"synthetic_canary/a": [problem]}
    )
    text = out.read_text("utf-8")
    assert "script" not in Page(text).tags
    assert "<script" not in text.lower()
    assert Page(text).words.count(CANARY) >= 9


def test_a_damaged_recording_is_a_finding_and_the_page_goes_on(
    own_store: Store, tmp_path: Path
) -> None:
    name = "mri_anatomical/anatomical"
    chunk = max(own_store.zarr(name).rglob("*"), key=lambda path: path.stat().st_size)
    chunk.unlink()
    datasets = ["mri_anatomical", "mushroom_body"]
    out = write_report(open_store(own_store.path), tmp_path / "r.html", datasets=datasets)
    text = out.read_text("utf-8")
    assert '<b><span class="level error">error</span></b>' in text
    assert name in Page(text).words
    assert len(Page(text).images) == 2


def test_a_full_page_says_what_it_leaves_out(
    sample_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurodata.report.page.PICTURES_BYTES", 1)
    text = write_report(sample_store, tmp_path / "r.html", findings={}).read_text("utf-8")
    drawn = {re.split(", ", image["alt"])[-1] for image in Page(text).images}
    assert len(drawn) == 1
    assert f"{len(sample_store.ids()) - 1} more recordings are not drawn" in text


@pytest.mark.parametrize("rate_hz", [0.05, 0.4, 4.0])
def test_a_slow_clock_has_a_spectrum(rate_hz: float) -> None:
    wave = np.sin(2 * np.pi * np.arange(64) / 8)[:, None]
    frequency, power = power_spectrum(wave, rate_hz)
    assert frequency[power[:, 0].argmax()] == pytest.approx(rate_hz / 8)


def test_a_short_recording_at_a_high_rate_is_drawn() -> None:
    """Its first frequency over zero is beyond what is shown of others."""
    tree = synthetic_eeg()
    node = tree["eeg"].to_dataset().isel(time=slice(0, 120))
    node.attrs |= {"rate_hz": 30_000.0, "n": 120}
    made = draw(physical(xr.DataTree.from_dict({"/": tree.to_dataset(), "eeg": node})), "eeg")
    assert made.png.startswith(b"\x89PNG")
