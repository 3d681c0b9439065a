"""The door for SQLite files: one connection that can do nothing but read the columns of tables.

The header is compared with the file before SQLite sees it. The file is opened read-only and
immutable; views, virtual tables, generated columns and whatever a schema may call are not used,
not in the check of the file either; an authorizer refuses all but reading, and every query has a
bound of steps.

References
----------
https://www.sqlite.org/fileformat2.html; https://www.sqlite.org/security.html
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurodata.errors import InvalidInputError, UnreadableError, UnsafeError

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
PAGE_BYTES = {512 << power for power in range(8)}
TEXT_LIMIT_BYTES = 2**20  # of one cell, and of one statement of the schema
COLUMN_LIMIT = 2000
TABLE_LIMIT = 10_000
CELL_LIMIT = 60_000_000
STEPS = 100_000  # of SQLite's machine between two looks at the bound
STEPS_A_BYTE = 200
LEAST_STEPS = 10**8
BLOCK_ROWS = 2**14
PRAGMAS = {"integrity_check", "quick_check", "table_xinfo", "index_list", "index_xinfo"}
EXPRESSION = -2  # in place of a column's number, https://www.sqlite.org/pragma.html
ALLOWED = {
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_TRANSACTION,
}  # fmt: skip
LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, TEXT_LIMIT_BYTES), (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_COLUMN, COLUMN_LIMIT), (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 1),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 50), (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 8),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1), (sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 8),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)  # fmt: skip
Cell = int | float | str | None


@dataclass(frozen=True)
class Table:
    """A table as its file declares it."""

    name: str
    columns: tuple[str, ...]


class Tables:
    """The tables of an open file, and their rows."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection
        self.others: list[str] = []
        self.is_computed = False
        self.listed = self._tables()

    def _tables(self) -> list[Table]:
        found: list[Table] = []
        query = "SELECT type, name, sql FROM sqlite_schema ORDER BY rowid"
        for kind, name, sql in self.connection.execute(query):
            if not isinstance(name, str) or kind != "table" or name.startswith("sqlite_"):
                if kind in ("view", "trigger"):
                    self.others.append(f"the {kind} {name}")
                continue
            if not str(sql).upper().startswith("CREATE TABLE "):  # as SQLite writes it
                self._leave_out(f"the virtual table {name}")
                continue
            columns = self._columns(name)
            if columns is None:
                self._leave_out(f"the table {name} with generated columns")
            else:
                found.append(Table(name, columns))
                self.is_computed = self.is_computed or self._has_computed_index(name)
            if len(found) > TABLE_LIMIT:
                raise UnsafeError(self.path.name, "more tables", f"{TABLE_LIMIT}", "export one")
        return found

    def _leave_out(self, what: str) -> None:
        self.others.append(what)
        self.is_computed = True

    def _has_computed_index(self, name: str) -> bool:
        listed = self.connection.execute(f"PRAGMA index_list({quoted(name)})").fetchall()
        for _, index, _, _, is_partial in listed:
            parts = self.connection.execute(f"PRAGMA index_xinfo({quoted(index)})")
            if is_partial or any(part[1] == EXPRESSION for part in parts):
                return True
        return False

    def check(self) -> None:
        """Check the whole file, or only the tables where the check would run what others state.

        Raises
        ------
        UnreadableError
            When something is damaged.
        """
        checks = ["integrity_check(1)"]
        if self.is_computed:
            checks = [f"quick_check({quoted(table.name)})" for table in self.listed]
        for check in checks:
            (found,) = self.connection.execute(f"PRAGMA {check}").fetchone()
            if found != "ok":
                told = f"a damaged database ({str(found)[:80]})"
                raise _damaged(self.path, told, "an intact one")

    def _columns(self, name: str) -> tuple[str, ...] | None:
        rows = self.connection.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
        if any(row[6] for row in rows):
            return None
        return tuple(str(row[1]) for row in rows)

    def rows(self, table: Table, columns: Sequence[str]) -> Iterator[list[tuple[Cell, ...]]]:
        """Yield rows in blocks, in the order of the file.

        Raises
        ------
        UnreadableError
            When a cell is binary or text in no encoding, or the file is damaged.
        UnsafeError
            When there are more cells than a limit.
        """
        names = ", ".join(map(quoted, columns))
        total = 0
        query = f"SELECT {names} FROM {quoted(table.name)} NOT INDEXED"  # noqa: S608
        cursor = self.connection.execute(query)
        while block := cursor.fetchmany(BLOCK_ROWS):
            total += len(block) * len(columns)
            if total > CELL_LIMIT:
                found = f"over {CELL_LIMIT} cells in {table.name}"
                raise UnsafeError(self.path.name, found, "fewer", "split the table")
            if any(isinstance(cell, bytes) for row in block for cell in row):
                where = f"{self.path.name}: {table.name}"
                raise UnreadableError(where, "binary cells", "numbers and text", "name columns")
            yield block


def quoted(name: str) -> str:
    """Return a name as SQL writes it.

    Raises
    ------
    InvalidInputError
        When no name can be so.

    Examples
    --------
    >>> quoted("pre id")
    '"pre id"'
    """
    if "\0" in name or not name:
        raise InvalidInputError("SQLite", repr(name), "a name of a table or column")
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def open_sqlite(path: Path) -> Iterator[Tables]:
    """Open a file for reading its tables.

    Raises
    ------
    UnreadableError
        When the header contradicts the file, a journal lies beside it or its content is damaged.
    UnsafeError
        When a query takes more steps than the file has reason for.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.sqlite"
    >>> connection = sqlite3.connect(path)
    >>> _ = connection.execute("CREATE TABLE edges (pre INTEGER, post INTEGER)")
    >>> connection.commit(); connection.close()
    >>> with open_sqlite(path) as tables:
    ...     tables.listed
    [Table(name='edges', columns=('pre', 'post'))]
    """
    size = _require_header(path)
    steps = 0

    def bounded() -> bool:
        nonlocal steps
        steps += STEPS
        return steps > max(LEAST_STEPS, STEPS_A_BYTE * size)

    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=0)
        with closing(connection):
            _restrict(connection)
            connection.set_progress_handler(bounded, STEPS)
            tables = Tables(path, connection)
            tables.check()
            yield tables
    except sqlite3.Error as error:
        if steps > max(LEAST_STEPS, STEPS_A_BYTE * size):
            raise UnsafeError(path.name, f"over {steps} steps", "fewer", "export it") from error
        raise _damaged(path, f"a damaged database ({error})", "an intact one") from error
    except (OverflowError, UnicodeError, MemoryError) as error:
        raise _damaged(path, f"a value that is none ({error})", "numbers and text") from error


def _restrict(connection: sqlite3.Connection) -> None:
    """Leave nothing allowed but reading."""
    for limit, value in LIMITS:
        connection.setlimit(limit, value)
    for pragma in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON", "mmap_size=0",
                   "temp_store=MEMORY", "recursive_triggers=OFF",
                   "ignore_check_constraints=ON"):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}")

    def allowed(action: int, first: str | None, *_: str | None) -> int:
        fits = action in ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first in PRAGMAS)
        return sqlite3.SQLITE_OK if fits else sqlite3.SQLITE_DENY

    connection.set_authorizer(allowed)


def _require_header(path: Path) -> int:
    """Return the size of a file after comparing it with what its header says."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        raise _damaged(path, f"{head[:16]!r} in {size} bytes", "a SQLite database")
    (page,) = struct.unpack_from(">H", head, 16)
    page = 65536 if page == 1 else page
    written, readable, reserved, *fractions = head[18:24]
    if page not in PAGE_BYTES or fractions != [64, 32, 32] or page - reserved < 480:
        raise _damaged(path, f"pages of {page} bytes, {reserved} reserved", "512 to 65536")
    if written not in (1, 2) or readable not in (1, 2):
        raise _damaged(path, f"the versions {written} and {readable}", "1 or 2")
    (changed, pages) = struct.unpack_from(">II", head, 24)
    (valid_for,) = struct.unpack_from(">I", head, 92)
    counted = pages if pages and changed == valid_for else size // page
    if counted * page != size:
        raise _damaged(path, f"{size} bytes", f"{counted} pages of {page} bytes by its header")
    for ending in ("-wal", "-journal"):
        beside = path.with_name(path.name + ending)
        if beside.exists() and beside.stat().st_size:
            raise _damaged(path, f"{beside.name} beside it", "a database that was closed")
    return size


def _damaged(path: Path, found: str, expected: str) -> UnreadableError:
    return UnreadableError(path.name, found, expected, "copy or export the database again")
