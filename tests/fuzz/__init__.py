"""Fuzzing of every reader: valid files, damaged in reproducible ways, read under limits.

``python -m tests.fuzz --help`` says how to run it; `tests/test_fuzz.py` runs a small part.
"""
