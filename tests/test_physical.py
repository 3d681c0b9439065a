"""From counts to physical values: scale and offset by name, in float64, with a unit."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from neurodata.physical import physical


def one(node: xr.Dataset, name: str) -> xr.DataArray:
    tree = physical(xr.DataTree.from_dict({"node": node}))
    return tree["node"].to_dataset()[name]


def synthetic_traces(adc: Any, scale: Any, offset: Any, **attrs: Any) -> xr.Dataset:
    channels = [f"C{i}" for i in range(adc.shape[1])]
    return xr.Dataset(
        {"signal_adc": (("time", "channel"), adc, attrs), "scale": ("channel", scale),
         "offset": ("channel", offset)},
        coords={"channel": channels},
    )  # fmt: skip


def test_every_channel_has_its_own_scale_and_offset() -> None:
    adc = np.array([[1, 2, 3], [4, 5, 6]], "int16")
    signal = one(synthetic_traces(adc, [1.0, 10.0, 100.0], [0.5, 0.0, -1.0], units="V"), "signal")
    assert signal.values.tolist() == [[1.5, 20.0, 299.0], [4.5, 50.0, 599.0]]
    assert signal.dims == ("time", "channel")
    assert signal.attrs == {"units": "V"}


def test_as_many_samples_as_channels_are_not_taken_for_channels() -> None:
    adc = np.array([[1, 1], [1, 1]], "int16")
    signal = one(synthetic_traces(adc, [1.0, 10.0], [0.0, 0.0]), "signal")
    assert signal.values.tolist() == [[1.0, 10.0], [1.0, 10.0]]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", ">i2", "uint16", "int32", "uint32"])
def test_extremes_do_not_overflow_and_round_once(dtype: str) -> None:
    bounds = np.iinfo(np.dtype(dtype))
    adc = np.array([[bounds.min, bounds.max]], dtype)
    signal = one(synthetic_traces(adc, [3e-8, 3e-8], [-1e-3, 1e-3]), "signal")
    expected = [np.float32(bounds.min * 3e-8 - 1e-3), np.float32(bounds.max * 3e-8 + 1e-3)]
    assert signal.values[0].tolist() == expected


def test_the_product_is_taken_in_float64() -> None:
    """A 24-bit count beside a large offset: in float32 its last bits would be gone."""
    adc = np.array([[8_388_607], [8_388_606]], "int32")
    signal = one(synthetic_traces(adc, [1e-9], [-8_388_606e-9]), "signal")
    np.testing.assert_allclose(np.diff(signal.values, axis=0), [[-1e-9]], rtol=1e-5)


@pytest.mark.parametrize("dims", [("channel", "y", "x"), ("time", "channel", "z", "y", "x")])
def test_images_scale_by_channel_wherever_its_axis_is(dims: tuple[str, ...]) -> None:
    shape = tuple({"channel": 2}.get(dim, 3) for dim in dims)
    image = one(
        xr.Dataset(
            {"image_adc": (dims, np.ones(shape, "uint16")), "scale": ("channel", [2.0, 4.0]),
             "offset": ("channel", [0.0, 1.0])}
        ), "image",
    )  # fmt: skip
    assert image.dims == dims
    assert [np.unique(image.isel(channel=c)).tolist() for c in (0, 1)] == [[2.0], [5.0]]


def test_the_node_lends_its_unit_and_a_variables_own_unit_wins() -> None:
    adc = np.ones((2, 1), "int16")
    for attrs, expected in (({}, "T"), ({"units": "V"}, "V")):
        node = synthetic_traces(adc, [1.0], [0.0], **attrs).assign_attrs(units="T")
        assert one(node, "signal").attrs["units"] == expected
    stored = xr.Dataset({"signal": (("time", "channel"), np.ones((2, 1)))}, attrs={"units": "T"})
    assert one(stored, "signal").attrs["units"] == "T"
    assert stored["signal"].attrs == {}


def test_float_signals_become_float32_and_complex_ones_stay() -> None:
    for dtype, expected in (("float64", "float32"), ("float16", "float32"), ("complex64", None)):
        image = one(xr.Dataset({"image": (("y", "x"), np.ones((2, 2), dtype))}), "image")
        assert image.dtype == np.dtype(expected or dtype)


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    def never(block: Any) -> Any:
        raise AssertionError("a block was computed")

    adc = da.zeros((10, 1), "int16", chunks=5).map_blocks(never, meta=np.empty((0, 0), "int16"))
    signal = one(synthetic_traces(adc, [1.0], [0.0]), "signal")
    assert signal.chunks == ((5, 5), (1,))
    assert signal.dtype == np.float32


def test_a_column_that_ends_like_a_stored_signal_is_left_alone() -> None:
    node = xr.Dataset({"peak_adc": ("row", [3, 4])})
    assert one(node, "peak_adc").values.tolist() == [3, 4]


def test_the_clock_comes_back_and_the_given_tree_stays() -> None:
    node = synthetic_traces(np.ones((4, 1), "int16"), [1.0], [0.0])
    node = node.assign_attrs(start_s=2.0, rate_hz=4.0, n=4)
    tree = xr.DataTree.from_dict({"node": node})
    assert physical(tree)["node/signal"].time.values.tolist() == [2.0, 2.25, 2.5, 2.75]
    assert set(tree["node"].to_dataset().variables) == {"signal_adc", "scale", "offset", "channel"}
