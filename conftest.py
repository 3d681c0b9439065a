"""What is collected: modules that import torch only where it is installed."""

from importlib.util import find_spec

NEED_TORCH = ["neurodata/loader/torch_view.py", "neurodata/loader/device.py"]
collect_ignore = [] if find_spec("torch") else NEED_TORCH
