"""Sources: raw bytes with an identity (size and sha256), so far in local folders."""

from neurodata.sources.local import Fingerprint, Scan, fingerprint, matching, scan

__all__ = ["Fingerprint", "Scan", "fingerprint", "matching", "scan"]
