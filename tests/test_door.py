"""Raw bytes come in through one door: every call that could open a file is found and named.

Names are resolved: aliases of imports, names taken from modules, and packages that `need` gives.
What is called on an object that nobody knows is judged by the method's name.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "neurodata"
MODULES = sorted(PACKAGE.rglob("*.py"))

PARSERS = re.compile(
    r"exec|eval|compile|__import__|runpy\..*|shelve\..*|dbm\..*"
    r"|(c?[pP]ickle|marshal|dill|cloudpickle|joblib|torch|yaml)\.(\w*load\w*|\w*[uU]npickler)"
    r"|(gzip|bz2|lzma|tarfile)\.open|(gzip\.Gzip|bz2\.BZ2|lzma\.LZMA)File"
    r"|(zipfile\.\w*Zip|tarfile\.Tar)File(\..*)?|zipfile\.Path|shutil\.unpack_archive"
    r"|numpy\.(load|loadtxt|genfromtxt|fromfile|memmap|fromregex|DataSource|lib\.(format|npyio)\..*)"
    r"|pandas\.(read_\w+|ExcelFile|HDFStore)|polars\.(read|scan)_\w+|scipy\.io\..*"
    r"|h5py\.File|tables\.open_file|netCDF4\..*|xarray\.(open|load)_\w+|sqlite3\.\w+"
    r"|dask\.array\.from_(zarr|npy_stack)|dask\.dataframe\.read_\w+"
    r"|nibabel\.(.*\.)?(load\w*|from_filename|read|open\w*|Opener|\w*Parser)"
    r"|mne\.(.*\.)?read_\w+|pynwb\.(.*\.)?(NWBHDF5IO|NWBZarrIO|read_nwb)|hdmf\..*IO"
    r"|pydicom\.(.*\.)?(dcmread\w*|read_\w+|FileSet)"
    r"|tifffile\.(.*\.)?(Tiff\w*|im\w*|memmap|xml2dict)|PIL\.Image\.open|imageio\..*|skimage\.io\..*"
    r"|cv2\..*|matplotlib\.(.*\.)?imread|networkx\.(read|parse)_\w+"
    r"|openpyxl\.(.*\.)?(load_workbook|open)|pyxdf\..*|pyedflib\..*|edfio\..*|neo\..*|wfdb\..*"
    r"|snirf\..*|spikeinterface\..*|imagecodecs\.(read|open|im\w+)|lxml\..*|defusedxml\..*"
    r"|xml\.(dom|sax|etree)\..*|xml\.parsers\.expat\.ParserCreate"
)
"""What gives outside bytes a meaning: found in every part of the package."""
FILES = re.compile(
    r"open|(io|codecs|os|fileinput|tokenize|linecache)\.\w*open\w*|io\.FileIO|os\.fdopen"
    r"|os\.(system|exec\w*|spawn\w*)|subprocess\..*|ctypes\..*|mmap\.mmap|tempfile\..*"
    r"|shutil\.(copy\w*|move)|json\.load|configparser\..*|tomllib\.load|plistlib\..*|zarr\..*"
    r"|pyarrow\.(\w*[iI]nput\w*|memory_map|OSFile|fs\..*|dataset\..*)"
    r"|pyarrow\.(parquet|feather|csv|json|orc|ipc)\.(read\w*|open\w*|ParquetFile|ParquetDataset)"
)
"""What opens files or runs programs: found in what meets raw files."""
METHODS = re.compile(
    r"\?\.(open|read_bytes|read_text|tofile|fromfile|memmap|genfromtxt|loadtxt|imread|loadmat|File"
    r"|read_raw\w*|read_info|read_epochs\w*|dcmread\w*|read_file|Tiff(File|Page)\w*|NWBHDF5IO"
    r"|load_workbook|read_(csv|excel|parquet|feather|pickle|hdf|graphml|gml|edgelist)|connect"
    r"|from_filename|unpickle|extractall|extract)"
)
"""What is called so on an object that nobody knows: most are paths and modules."""
HARMLESS = re.compile(r"neurodata\.safe(_\w+)?\..*")
RAW = ("readers", "recognise", "plan", "ingestion", "content", "sources", "draft", "formats")
"""What meets raw files; the other parts open what the store or the package itself wrote."""

# Each place outside of the door, and why it is none.
ALLOWED: dict[str, dict[str, str]] = {
    "doctor/contents.py": {"sqlite3.connect": "the store's own catalog"},
    "draft.py": {"?.open": "writes a new pipeline"},
    "exchange/of_nwb.py": {"pynwb.NWBHDF5IO": "writes what is in memory"},
    "orchestrate/private_server.py": {"sqlite3.connect": "the database of its own server"},
    "pipeline.py": {"yaml.load": "by a safe loader that refuses aliases and keys that come twice"},
    "readers/abf.py": {"neo.rawio.AxonRawIO": "a header lent in a private folder"},
    "readers/cifti_xml.py": {"nibabel.cifti2.parse_cifti2.Cifti2Parser": "text checked before"},
    "readers/dicom_header.py": {"pydicom.filereader.read_dataset": "bytes in memory"},
    "readers/fif.py": {
        "mne.io.read_info": "a header lent in a private folder",
        "mne.read_annotations": "a header lent in a private folder",
    },
    "readers/gifti_document.py": {
        "nibabel.gifti.parse_gifti_fast.GiftiImageParser": "text checked before",
    },
    "readers/gml.py": {"networkx.parse_gml": "text in memory"},
    "readers/graphml.py": {"networkx.read_graphml": "bytes in memory, checked before"},
    "readers/kit.py": {"mne.io.read_raw_kit": "a header lent in a private folder"},
    "readers/neuralynx_records.py": {
        "neo.rawio.neuralynxrawio.nlxheader.NlxHeader": "a header lent in a private folder",
    },
    "readers/nifti_voxels.py": {"?.open": "a method of its own, by way of the door"},
    "readers/precomputed_chunks.py": {"PIL.Image.open": "bytes in memory, as JPEG only"},
    "readers/scanimage.py": {"tifffile.TiffPageSeries": "pages of a file that is open"},
    "readers/slice_pixels.py": {"PIL.Image.open": "bytes in memory, as PNG or JPEG only"},
    "readers/tiff_image.py": {"tifffile.TiffFile": "a file whose directories were walked before"},
    "readers/tiff_meta.py": {"tifffile.xml2dict": "text without a document type"},
    "readers/tiff_pixels.py": {
        "tifffile.TiffFile": "a file whose directories were walked before",
        "tifffile.TiffPage": "a page of a file that is open",
    },
    "readers/wfdb_notes.py": {"wfdb.io.annotation.proc_ann_bytes": "bytes in memory"},
    "readers/wfdb_samples.py": {"wfdb.io._signal._blocks_to_samples": "bytes in memory"},
    "sources/local.py": {"?.open": "sums up a file's bytes, understanding none"},
    "store/catalog.py": {"sqlite3.connect": "the store's own catalog"},
    "store/remote_catalog.py": {"sqlite3.connect": "the copy of a store's catalog"},
    "store/removal.py": {"sqlite3.connect": "the store's own catalog"},
}


def home(path: Path) -> str:
    """The part of the package that a module belongs to, ``safe`` for all leaves of the door."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "safe" if name.startswith("safe_") else name


class Names(ast.NodeVisitor):
    """The full dotted names of everything that a module calls or hands on."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.calls: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            self.known[alias.asname or name] = name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.known[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Assign(self, node: ast.Assign) -> None:
        targets = node.targets[0]
        pairs = [(targets, node.value)]
        if isinstance(targets, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(targets.elts, node.value.elts, strict=False))
        for target, value in pairs:
            if isinstance(target, ast.Name) and (name := self.full(value)):
                self.known[target.id] = name
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if name := self.full(node.func):
            self.calls.add(name)
        elif isinstance(node.func, ast.Attribute):
            self.calls.add(f"?.{node.func.attr}")
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            name = self.full(argument)  # a function that is handed to another
            if name and "." in name:
                self.calls.add(name)
        self.generic_visit(node)

    def full(self, node: ast.expr) -> str:
        """The dotted name of an expression, "" where it is none."""
        if isinstance(node, ast.Name):
            return self.known.get(node.id, node.id if node.id in BUILT_IN else "")
        if isinstance(node, ast.Attribute):
            before = self.full(node.value)
            return f"{before}.{node.attr}" if before else ""
        if isinstance(node, ast.Call) and self.full(node.func).endswith("errors.need"):
            first = node.args[0] if node.args else None
            return str(first.value) if isinstance(first, ast.Constant) else ""
        return ""


BUILT_IN = ("open", "exec", "eval", "compile", "__import__")


def opened(path: Path, source: str | None = None) -> set[str]:
    """The calls of a module that could open a file."""
    names = Names()
    names.visit(ast.parse(source or path.read_text(encoding="utf-8")))
    raw = home(path) in RAW
    kinds = (PARSERS, FILES, METHODS) if raw else (PARSERS,)
    found = {name for name in names.calls if any(kind.fullmatch(name) for kind in kinds)}
    return {name for name in found if not HARMLESS.fullmatch(name)}


def where(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_raw_files_are_opened_by_the_one_door_only(path: Path) -> None:
    if home(path) != "safe":
        assert sorted(opened(path) - set(ALLOWED.get(where(path), {}))) == []


def test_every_exception_has_its_reason_and_is_needed() -> None:
    for place, calls in ALLOWED.items():
        assert set(calls) <= opened(PACKAGE / place), place
        assert all(calls.values()), place


CIRCUMVENTIONS = (
    "import numpy as n\nn.load('a')",
    "import numpy.lib.format as f\nf.read_array(x)",
    "from numpy import fromfile as take\ntake('a')",
    "from zipfile import ZipFile\nZipFile('a')",
    "import tarfile\ntarfile.open('a')",
    "from pathlib import Path\nPath('a').read_bytes()",
    "def f(path):\n    return path.open('rb')",
    "from neurodata.errors import need\nneed('tifffile', 'microscopy').TiffFile('a')",
    "from neurodata.errors import need\nt = need('nibabel', 'mri')\nt.load('a')",
    "from neurodata.errors import need\na, b = need('pydicom', 'mri'), 1\na.dcmread('a')",
    "import mne\nmne.io.read_raw_edf('a')",
    "from pynwb import NWBHDF5IO as reader\nreader('a')",
    "from scipy.io import loadmat\nloadmat('a')",
    "from sqlite3 import connect\nconnect('a')",
    "import yaml\nyaml.load(x, y)",
    "import torch\ntorch.load('a')",
    "import tempfile\ntempfile.mkdtemp()",
    "import pickle\nmap(pickle.loads, x)",
    "import h5py\nmake = h5py.File\nmake('a')",
    "exec('x')",
    "import io\nio.open('a')",
    "from PIL import Image\nImage.open('a')",
)


@pytest.mark.parametrize("source", CIRCUMVENTIONS)
def test_other_ways_in_are_found(source: str) -> None:
    assert opened(PACKAGE / "readers" / "synthetic.py", source)


@pytest.mark.parametrize(
    "source",
    [
        "from neurodata import safe\nsafe.read_bytes(path)",
        "from neurodata.safe_hdf5 import open_hdf5\nopen_hdf5(path)",
        "import json\njson.loads(text)",
        "import numpy as np\nnp.frombuffer(data)",
    ],
)
def test_ways_through_the_door_are_not(source: str) -> None:
    assert opened(PACKAGE / "readers" / "synthetic.py", source) == set()
