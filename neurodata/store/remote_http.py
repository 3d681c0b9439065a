"""Files over http and https, the Hugging Face hub included: ranges, redirects, no secrets told."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import os
import re
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from neurodata.errors import InvalidInputError, NotFoundError, need
from neurodata.secret import Secret
from neurodata.store.remote_io import SLOWEST_BYTES_PER_S, Engine, Failure, Reply, engine, tries

EXTRA = "remote"
HOPS = 5
MOVED_S = 300.0
MOVED_LIMIT = 20_000
REDIRECTS = (301, 302, 303, 307, 308)
AGAIN = (408, 425, 429, 500, 502, 503, 504)
CONNECT_S = 10.0
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
HUB = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:@([^/]+))?((?:/[^?#]*)?)")

T = TypeVar("T")


def without_secrets(url: str) -> str:
    """Return an address without user, password, query and fragment.

    Examples
    --------
    >>> without_secrets("https://me:secret@host:81/a/b?token=secret")
    'https://host:81/a/b'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class HttpSource:
    """A folder on a web server.

    Parameters
    ----------
    url : str
        Its query, such as a signature, goes along with every request.
    headers : mapping of str to str, optional
        Sent to the address's own host only.
    timeout_s : float
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError("store", without_secrets(url), "an address of http or https")
        host = parts.netloc.rpartition("@")[2]
        self.base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self.where = self.origin = self.base
        self.timeout_s = timeout_s
        self._query = f"?{parts.query}" if parts.query else ""
        self._headers = dict(headers or {})
        if parts.username is not None:
            password = Secret(unquote(parts.password or ""))
            login = f"{unquote(parts.username)}:{password.reveal()}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(login).decode()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r})"

    async def get(self, path: str, span: tuple[int, int] | None, limit: int) -> Reply:
        """Try once to get a file or a part of it (see `remote_io.Source`)."""
        here = engine()
        url = f"{self.base}/{quote(path)}{self._query}"
        ask = {"Accept-Encoding": "identity"}
        if span is not None:
            limit = span[1]
            ask["Range"] = f"bytes={span[0]}-{span[0] + span[1] - 1}"
        aiohttp = need("aiohttp", EXTRA)
        try:
            async with here.slots, asyncio.timeout(self._deadline_s(span)):
                response = await self._open(here, url, ask)
                try:
                    total = _agreed(response, span)
                    return Reply(await _body(response, limit), total)
                finally:
                    response.close()
        except TimeoutError:
            raise Failure("again", f"no answer within {self.timeout_s:g} s") from None
        except aiohttp.ClientPayloadError:
            raise Failure("damaged", "an answer cut short") from None
        except (aiohttp.ClientError, OSError) as error:
            # the text of such an error may hold the address with its secrets
            raise Failure("again", f"no connection ({type(error).__name__})") from None

    async def folders(self, path: str) -> list[str]:
        """Refuse: there is no way to list a folder of a web server."""
        raise Failure(
            "unfit", "no catalog.sqlite, and no way to list a web server", "a catalogue",
            "check the address, or run neurodata rebuild and publish catalog.sqlite too",
        )  # fmt: skip

    async def modified_ns(self, path: str) -> int:
        """Refuse, as `folders` does."""
        raise Failure("unfit", "no catalogue")

    def _deadline_s(self, span: tuple[int, int] | None) -> float:
        return self.timeout_s + (span[1] if span else 2**22) / SLOWEST_BYTES_PER_S

    def _login(self) -> dict[str, str]:
        return self._headers

    async def _open(self, here: Engine, url: str, ask: Mapping[str, str]) -> Any:
        """Follow redirects and return the open answer; where they lead is kept for a while."""
        moved: dict[str, tuple[str, float]] = here.clients.setdefault("moved", {})
        known, until_s = moved.get(url, (url, float("inf")))
        at = known if time.monotonic() < until_s else url
        for _ in range(HOPS):
            own = _host(urlsplit(at)) == _host(urlsplit(self.base))
            response = await self._request(here, at, {**ask, **(self._login() if own else {})})
            if response.status not in REDIRECTS:
                break
            target = response.headers.get("Location", "")
            response.close()
            at = _lead(at, target)
        else:
            raise Failure("unsafe", f"more than {HOPS} redirects", "the file")
        if at == url or response.status >= 400 or len(moved) > MOVED_LIMIT:
            moved.pop(url, None)
        else:
            moved[url] = at, time.monotonic() + MOVED_S
        if at == known != url and 400 <= response.status < 500:
            response.close()
            raise Failure("again", f"status {response.status} where a redirect had led")
        return response

    async def _request(self, here: Engine, url: str, headers: Mapping[str, str]) -> Any:
        aiohttp, yarl = need("aiohttp", EXTRA), need("yarl", EXTRA)
        if "http" not in here.clients:
            here.clients["http"] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return await here.clients["http"].get(
            yarl.URL(url, encoded=True),
            headers=headers,
            allow_redirects=False,
            proxy=_proxy(*urlsplit(url)[:2]),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(CONNECT_S, self.timeout_s), sock_read=self.timeout_s
            ),
        )


class HubSource(HttpSource):
    """A folder of a data set on the Hugging Face hub, as it was when it was opened.

    Parameters
    ----------
    url : str
        ``hf://datasets/owner/name[@revision][/path]``.
    timeout_s : float

    Raises
    ------
    NotFoundError
        When there is no such data set or revision.
    StoreError
        When the hub does not answer.
    """

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        found = HUB.fullmatch(url.rstrip("/"))
        if not found:
            raise InvalidInputError(
                "store", without_secrets(url), "hf://datasets/owner/name[@revision][/path]"
            )
        self.repo, revision, path = found[1], found[2] or "main", found[3] or ""
        self._path = path.strip("/")
        self.revision = _pinned(self.repo, revision, timeout_s)
        endpoint = _endpoint()
        base = f"{endpoint}/datasets/{self.repo}/resolve/{self.revision}/{quote(self._path)}"
        super().__init__(base, timeout_s=timeout_s)
        self.origin = f"hf://datasets/{self.repo}/{self._path}".rstrip("/")
        self.where = f"hf://datasets/{self.repo}@{self.revision[:12]}/{self._path}".rstrip("/")

    async def folders(self, path: str) -> list[str]:
        """Return the names of the folders below a folder."""
        import huggingface_hub

        def walk() -> list[str]:
            found = _hub().list_repo_tree(
                self.repo, self._inside(path), revision=self.revision, repo_type="dataset"
            )
            kind = huggingface_hub.hf_api.RepoFolder
            return sorted(one.path.rpartition("/")[2] for one in found if isinstance(one, kind))

        return await asyncio.to_thread(_asked, walk)

    async def modified_ns(self, path: str) -> int:
        """Return when a file was last committed."""

        def look() -> int:
            (found,) = _hub().get_paths_info(
                self.repo, [self._inside(path)], expand=True, revision=self.revision,
                repo_type="dataset",
            )  # fmt: skip
            date: datetime.datetime = found.last_commit.date
            return int(date.timestamp()) * 10**9

        return await asyncio.to_thread(_asked, look)

    def _inside(self, path: str) -> str:
        return "/".join(part for part in (self._path, path) if part)

    def _login(self) -> dict[str, str]:
        known: dict[str, Secret] = engine().clients.setdefault("hub", {})
        if "token" not in known:
            known["token"] = Secret(need("huggingface_hub", EXTRA).get_token() or "")
        token = known["token"].reveal()
        return {"Authorization": f"Bearer {token}"} if token else {}


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _hub() -> Any:
    return need("huggingface_hub", EXTRA).HfApi(endpoint=_endpoint())


def _asked(question: Callable[[], T]) -> T:
    """Return the hub's answer, or what kept it from giving one."""
    errors = need("huggingface_hub.errors", EXTRA)
    missing = errors.RepositoryNotFoundError, errors.RevisionNotFoundError
    try:
        return question()
    except (*missing, errors.EntryNotFoundError) as error:
        raise Failure("missing", f"nothing there ({type(error).__name__})") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        kind = "denied" if status in (401, 403) else "again"
        raise Failure(kind, f"status {status} of the hub") from None  # type: ignore[arg-type]
    except OSError as error:
        raise Failure("again", f"no answer of the hub ({type(error).__name__})") from None
    except Exception as error:  # of whichever client the hub's library uses
        if "Timeout" in type(error).__name__ or "Connect" in type(error).__name__:
            raise Failure("again", f"no answer of the hub ({type(error).__name__})") from None
        raise


def _pinned(repo: str, revision: str, timeout_s: float) -> str:
    """Return the commit that a revision of a data set means now."""
    where = f"hf://datasets/{repo}"

    def look() -> str:
        found = _hub().repo_info(repo, repo_type="dataset", revision=revision, timeout=timeout_s)
        return str(found.sha)

    async def once() -> str:
        return await asyncio.to_thread(_asked, look)

    try:
        return engine().run(tries(once, where))
    except NotFoundError:
        raise NotFoundError(
            where, f"no revision {revision!r} that you may read", "one", "check name and login"
        ) from None


@cache
def _proxy(scheme: str, host: str) -> str | None:
    return None if proxy_bypass(host) else getproxies().get(scheme)


def _host(parts: SplitResult) -> tuple[str, str, int | None]:
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or usual


def _lead(old: str, target: str) -> str:
    """Return where a redirect leads, if going there is safe.

    From https only to https, from http also to another port of the same host; never to an
    address of a private network that is not the server's own.
    """
    try:
        new = urljoin(old, target)
        before, after = urlsplit(old), urlsplit(new)
        same = (before.hostname or "") == (after.hostname or "")
        safe = after.scheme == "https" or (after.scheme == before.scheme == "http" and same)
        safe = safe and bool(target) and "@" not in after.netloc
        if not safe or not (same or _public(after.hostname or "")):
            raise Failure("unsafe", f"a redirect to {without_secrets(new)}", "one to https")
    except ValueError:
        raise Failure("unsafe", "a redirect to no valid address", "one to https") from None
    return new


def _public(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host)


def _agreed(response: Any, span: tuple[int, int] | None) -> int | None:
    """Return the file's size as the head of an answer tells, if it is the answer asked for."""
    status, headers = response.status, response.headers
    if status not in (200, 206):
        raise _bad_status(status, headers)
    if headers.get("Content-Encoding", "identity") != "identity":
        raise Failure("unfit", f"the encoding {headers['Content-Encoding']!r}", "plain bytes")
    if headers.get("Content-Type", "").startswith("text/html"):
        raise Failure("damaged", f"a page of text/html (status {status})")
    length = headers.get("Content-Length", "")
    if span is None:
        if status != 200:
            raise Failure("damaged", f"a part (status {status})", "the whole file (200)")
        return int(length) if length.isdigit() else None
    if status != 206:
        expected = f"{span[1]} bytes (status 206)"
        raise Failure("unfit", f"the whole file (status {status})", expected)
    return in_range(headers.get("Content-Range", ""), span)


def _bad_status(status: int, headers: Mapping[str, str]) -> Failure:
    found = f"status {status}"
    if status in (404, 410):
        return Failure("missing", found)
    if status in (401, 403, 407):
        return Failure("denied", found)
    if status in AGAIN:
        after = headers.get("Retry-After", "")
        return Failure("again", found, wait_s=float(after) if after.isdigit() else 0.0)
    if status == 416:
        return Failure("damaged", "a file shorter than the manifest says")
    return Failure("unfit", found, "200 or 206")


def in_range(text: str, span: tuple[int, int]) -> int | None:
    """Return the size of the whole file, if a Content-Range is the one that was asked for."""
    found = RANGE.fullmatch(text.strip())
    start, length = span
    if not found or (int(found[1]), int(found[2])) != (start, start + length - 1):
        raise Failure("damaged", f"the range {text[:60]!r}", f"bytes {start}-{start + length - 1}")
    return None if found[3] == "*" else int(found[3])


async def _body(response: Any, limit: int) -> bytes:
    """Return an answer's bytes, but never more than asked for."""
    data = bytearray()
    async for block in response.content.iter_any():
        data += block
        if len(data) > limit:
            raise Failure("damaged", f"more than {limit} bytes", f"at most {limit}")
    return bytes(data)
