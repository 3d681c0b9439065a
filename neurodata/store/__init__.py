"""The store: staged commits, content-addressed versions, integrity on read."""

from neurodata.store.commit import Published
from neurodata.store.store import Store, open_store

__all__ = ["Published", "Store", "open_store"]
