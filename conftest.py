"""What is collected: modules that import an optional library only where it is installed."""

from importlib.util import find_spec

NEEDS = {
    "torch": ["neurodata/loader/torch_view.py", "neurodata/loader/device.py"],
    "numba": [
        "neurodata/loader/kernels.py",
        "neurodata/store/kernels.py",
        "neurodata/store/calls.py",
    ],
}
collect_ignore = [path for name, paths in NEEDS.items() if not find_spec(name) for path in paths]
