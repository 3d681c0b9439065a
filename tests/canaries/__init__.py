"""Recordings of every format with a mark in every text, and where marks are found again.

``python -m tests.canaries`` prints how many were planted and found, format by format.
"""
