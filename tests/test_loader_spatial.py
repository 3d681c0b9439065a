from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import InvalidInputError
from neurodata.loader import (
    Graphs,
    Node,
    Patches,
    SpikeBins,
    Volumes,
    load,
)
from tests.synthetic_loader import (
    MemoryStore,
    node,
    recording,
    split_of,
)


def test_spike_counts_agree_with_histograms() -> None:
    rng = np.random.default_rng(0)
    trains = [np.sort(rng.uniform(2, 12, n)) for n in (80, 0, 200)]
    spikes = node(
        "spikes",
        {
            "time_s": ("spike", np.concatenate(trains)),
            "row_splits": ("split", np.cumsum([0, *map(len, trains)])),
        },
        {"unit_id": ("unit", ["u0", "u1", "u2"])},
        start_s=2.0,
        stop_s=12.0,
    )
    loader = load(
        MemoryStore(a=recording({"units": spikes})),
        splits=split_of(("a", "test", {})),
        split="test",
        sample=SpikeBins(0.05, 1.0),
        batch_size=3,
    )
    batches = list(loader)
    assert [len(batch["signal"]) for batch in batches] == [3, 3, 3, 1]
    assert batches[0]["signal"].shape == (3, 3, 20)
    assert batches[0]["units"] == "count"
    found = np.concatenate([batch["signal"] for batch in batches])
    for unit, train in enumerate(trains):
        counts, _ = np.histogram(train, np.linspace(2, 12, 201))
        np.testing.assert_array_equal(found[:, unit].ravel(), counts)
    with pytest.raises(InvalidInputError, match="whole number of bins"):
        SpikeBins(0.3, 1.0)


def volume_tree(shape: tuple[int, ...] = (6, 8, 10)) -> xr.DataTree:
    values = np.arange(np.prod(shape), dtype="u2").reshape(shape)
    dims = ("z", "y", "x")[-len(shape) :]
    image = node(
        "volume",
        {"image_adc": (dims, values, {"units": "count"}), "scale": 0.5, "offset": 1.0},
    )
    labels = (values % 3).astype("u2")[None]
    mask = node("instances", {"label": (("layer", *dims), labels)}, image_node="image")
    return recording({"image": image, "mask": mask}, modality="microscopy")


def test_patches_and_their_masks_are_slices() -> None:
    tree = volume_tree()
    loader = load(
        MemoryStore(a=tree),
        splits=split_of(("a", "test", {"box_zyx": [[2, 6], [0, 8], [1, 10]]}), by="block"),
        split="test",
        sample=Patches((2, 4, 4)),
        target=Node("mask"),
    )
    (batch,) = list(loader)
    assert batch["image"].shape == (8, 1, 2, 4, 4)
    assert batch["image"].dtype == np.float32
    assert batch["target"].shape == (8, 1, 2, 4, 4)
    assert "start_s" not in batch
    raw = tree["image"]["image_adc"].values
    for image, label, (z, y, x) in zip(
        batch["image"], batch["target"], batch["corner_zyx"], strict=True
    ):
        assert 2 <= z <= 4
        assert x >= 1
        expected = raw[z : z + 2, y : y + 4, x : x + 4]
        np.testing.assert_array_equal(image[0], expected * 0.5 + 1)
        np.testing.assert_array_equal(label[0], expected % 3)


def test_plane_images_have_one_z() -> None:
    loader = load(
        MemoryStore(a=volume_tree((8, 10))),
        splits=split_of(("a", "test", {})),
        split="test",
        sample=Patches((1, 4, 5)),
        target=Node("mask"),
    )
    (batch,) = list(loader)
    assert batch["image"].shape == batch["target"].shape == (4, 1, 1, 4, 5)


def test_volumes_come_time_point_by_time_point() -> None:
    values = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype("f4")
    values[3, 0, 0, 0] = np.nan
    bold = node(
        "volume",
        {"image": (("time", "z", "y", "x"), values, {"units": "a.u."})},
        start_s=0.0,
        rate_hz=0.5,
        n=5,
    )
    store = MemoryStore(a=recording({"bold": bold}, modality="fmri"))
    split = split_of(("a", "test", {"start_s": 2.0, "stop_s": 9.0}), by="time")
    loader = load(store, splits=split, split="test", sample=Volumes())
    (batch,) = list(loader)
    assert batch["start_s"].tolist() == [2.0, 4.0, 8.0]
    assert loader.left_out == {"samples not finite or not observed": 1}
    np.testing.assert_array_equal(batch["image"][:, 0], values[[1, 2, 4]])


def test_volumes_of_several_shapes_do_not_share_a_batch() -> None:
    store = MemoryStore(a=volume_tree(), b=volume_tree((4, 4, 4)))
    split = split_of(("a", "test", {}), ("b", "test", {}))
    with pytest.raises(InvalidInputError, match="batch_size=1"):
        load(store, splits=split, split="test", sample=Volumes())
    loader = load(store, splits=split, split="test", sample=Volumes(), batch_size=1)
    assert [batch["image"].shape[2:] for batch in loader] == [(6, 8, 10), (4, 4, 4)]


def test_images_are_scaled_by_training_voxels() -> None:
    store = MemoryStore(a=volume_tree())
    split = split_of(
        ("a", "train", {"box_zyx": [[0, 2], [0, 8], [0, 10]]}),
        ("a", "test", {"box_zyx": [[3, 6], [0, 8], [0, 10]]}),
        by="block",
    )
    loader = load(store, splits=split, split="test", sample=Patches((3, 8, 10)), scale="standard")
    voxels = np.arange(480).reshape(6, 8, 10) * 0.5 + 1
    assert loader.statistics is not None
    np.testing.assert_allclose(loader.statistics.mean, [voxels[:2].mean()])
    np.testing.assert_allclose(loader.statistics.std, [voxels[:2].std()])
    (batch,) = list(loader)
    expected = (voxels[3:] - voxels[:2].mean()) / voxels[:2].std()
    np.testing.assert_allclose(batch["image"][0, 0], expected, rtol=1e-6)


def test_graphs_have_the_names_of_pytorch_geometric() -> None:
    def graph(source: list[int], target: list[int], nodes: int) -> xr.Dataset:
        return node(
            "graph",
            {
                "source": ("edge", np.array(source)),
                "target": ("edge", np.array(target)),
                "weight": ("edge", np.arange(1, len(source) + 1)),
                "cell_class": ("node", np.array(["KC"] * nodes, object)),
            },
            {"node_id": ("node", [f"n{i}" for i in range(nodes)])},
            weight_units="count",
        )

    store = MemoryStore(
        a=recording({"left": graph([0, 1], [1, 2], 3)}, sex="F"),
        b=recording({"left": graph([0], [1], 2)}, sex="M"),
    )
    split = split_of(("a", "test", {}), ("b", "test", {}))
    loader = load(store, splits=split, split="test", sample=Graphs(), target="sex")
    (batch,) = list(loader)
    first, second = batch["graph"]
    assert first["edge_index"].tolist() == [[0, 1], [1, 2]]
    assert first["edge_weight"].tolist() == [1, 2]
    assert first["num_nodes"] == 3
    assert second["node_id"].tolist() == ["n0", "n1"]
    assert first["cell_class"].tolist() == ["KC"] * 3
    assert batch["target"].tolist() == ["F", "M"]
    assert batch["units"] == "count"


def test_changing_a_batch_changes_nothing_else() -> None:
    data = node(
        "graph",
        {"source": ("edge", [0]), "target": ("edge", [1]), "weight": ("edge", [2.0])},
        {"node_id": ("node", ["a", "b"])},
    )
    store, split = MemoryStore(a=recording({"g": data})), split_of(("a", "test", {}))
    loader = load(store, splits=split, split="test", sample=Graphs())
    next(iter(loader))["graph"][0]["edge_weight"][:] = 0
    assert next(iter(loader))["graph"][0]["edge_weight"].tolist() == [2.0]
