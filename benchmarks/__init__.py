"""Measurements of the loader and the writer beside the field's own, on synthetic recordings.

``python -m benchmarks setup`` makes the peers' environments, ``run`` measures, ``report`` writes
the table and the plot of `docs/benchmarks.md`. Nothing here is imported by `neurodata`.
"""
