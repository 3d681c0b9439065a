"""Entry point of the deployments of the ingest flow; see prefect.yaml.

As a script: python flows/ingest.py SOURCE STORE
"""

import sys

from neurodata.orchestrate import ingest_flow
from neurodata.orchestrate.flows import ingest_recordings

__all__ = ["ingest_recordings"]

if __name__ == "__main__":
    source, store = sys.argv[1:]
    sys.exit(0 if ingest_flow(source, store).ok else 1)
