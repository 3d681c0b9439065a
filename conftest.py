"""What is collected: modules that import torch only where it is installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["neurodata/loader/torch_view.py"]
