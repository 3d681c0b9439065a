"""Score baselines and models on the tasks of a pipeline, over its frozen splits."""

from neurodata.scoring.runner import run_benchmark, run_task
from neurodata.scoring.scores import FORMAT, read_scores, write_scores
from neurodata.scoring.tasks import KINDS

__all__ = ["FORMAT", "KINDS", "read_scores", "run_benchmark", "run_task", "write_scores"]
