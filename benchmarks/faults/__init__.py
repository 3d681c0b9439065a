"""A scoreboard of faults: damaged and mis-stated sources, and what readers make of them.

``python -m benchmarks.faults`` writes every case of the corpus, ingests it in a child of its own,
compares what comes out with what is right, and counts; ``--peers`` hands the same files to the
field's own readers. ``python -m benchmarks.faults rot`` flips bits of a published store. The
corpus is code: nothing is downloaded, no file is kept.
"""
