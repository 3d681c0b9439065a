"""Servers on the loopback: a web server that counts, waits and errs; a hub; a bucket."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

Fault = int | str | None


class FileServer:
    """Files of a folder over http, with ranges; a thread of its own.

    ``fault(path)`` may return what goes wrong with a request: a status, a ``Location`` to be
    sent to, or ``page``, ``short``, ``whole``, ``shifted``, ``total``, ``zeros``, ``hang``,
    ``endless``.
    """

    def __init__(self, folder: Path, latency_s: float = 0.0) -> None:
        self.folder, self.latency_s = folder, latency_s
        self.fault: Callable[[str], Fault] = lambda path: None
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.sent: dict[str, int] = {}
        self.active = self.most_active = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def bytes(self) -> int:
        """Bytes of all bodies."""
        return sum(self.sent.values())

    def sent_to(self, wanted: Callable[[str], bool]) -> int:
        """Bytes of the bodies of some paths."""
        return sum(sent for path, sent in self.sent.items() if wanted(path))

    def forget(self) -> None:
        self.requests, self.headers, self.sent, self.most_active = [], [], {}, 0

    def start(self) -> None:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self) -> int:
        server = web.Server(self._handle)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, unquote(request.raw_path)))
        self.headers.append(dict(request.headers))
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        try:
            await asyncio.sleep(self.latency_s)
            return await self.answer(request)
        finally:
            self.active -= 1

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = unquote(request.path).lstrip("/")
        fault = self.fault(path)
        if isinstance(fault, int):
            return web.Response(status=fault, text="an error of the server")
        if fault == "hang":
            await asyncio.sleep(60)
        if fault == "page":
            return web.Response(text="<html>welcome</html>" * 20_000, content_type="text/html")
        if fault and ":" in fault:
            return web.Response(status=302, headers={"Location": fault})
        file = self.folder / path
        if not file.is_file():
            return web.Response(status=404)
        return await self.file(request, path, file.read_bytes(), fault)

    async def file(
        self, request: web.BaseRequest, path: str, data: bytes, fault: Fault
    ) -> web.StreamResponse:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        headers, status, body = {"Content-Type": "application/octet-stream"}, 200, data
        if asked and fault != "whole":
            first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
            body, status = data[first : last + 1], 206
            shift = 1 if fault == "shifted" else 0
            size = len(data) + (7 if fault == "total" else 0)
            headers["Content-Range"] = f"bytes {first + shift}-{last + shift}/{size}"
        elif fault in ("shifted", "total"):
            body = data + b"1234567"
        if fault == "zeros":
            body = bytes(len(body))
        self.sent[path] = self.sent.get(path, 0) + len(body)
        if fault not in ("short", "endless"):
            return web.Response(status=status, headers=headers, body=body)
        response = web.StreamResponse(status=status, headers=headers)
        if fault == "short":
            response.content_length = len(body)
            body = body[: len(body) // 2]
        await response.prepare(request)
        await response.write(body)
        for _ in range(100 if fault == "endless" else 0):
            await response.write(bytes(2**16))
        assert request.transport is not None
        request.transport.close()
        return response


class HubServer(FileServer):
    """A stand-in for the hub: names a commit, lists its tree, and sends readers to another host."""

    repo, sha, token, signature = "lab/brains", "c0ffee" * 6 + "c0ff", "hf_CANARY", "sig-CANARY"

    def __init__(self, folder: Path, latency_s: float = 0.0) -> None:
        super().__init__(folder, latency_s)
        self.elsewhere = FileServer(folder, latency_s)

    def start(self) -> None:
        self.elsewhere.start()
        super().start()

    def stop(self) -> None:
        self.elsewhere.stop()
        super().stop()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = unquote(request.path)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, headers={"X-Error-Code": "RepoNotFound"})
        if path == f"/api/datasets/{self.repo}/revision/main":
            return web.json_response({"id": self.repo, "sha": self.sha})
        if path.startswith(tree := f"/api/datasets/{self.repo}/tree/{self.sha}"):
            return self._tree(path.removeprefix(tree).strip("/"))
        if path == f"/api/datasets/{self.repo}/paths-info/{self.sha}":
            return self._dates(await request.post())
        if path.startswith(files := f"/datasets/{self.repo}/resolve/{self.sha}/"):
            below = path.removeprefix(files)
            if not (self.folder / below).is_file():
                return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
            location = f"{self.elsewhere.url}/{below}?Signature={self.signature}"
            return web.Response(status=302, headers={"Location": location})
        return web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"})

    def _tree(self, below: str) -> web.Response:
        found = sorted((self.folder / below).iterdir()) if (self.folder / below).is_dir() else []
        return web.json_response([self._entry(path) for path in found])

    def _dates(self, form: Any) -> web.Response:
        return web.json_response([self._entry(self.folder / p, True) for p in form.getall("paths")])

    def _entry(self, path: Path, dated: bool = False) -> dict[str, Any]:
        kind = "directory" if path.is_dir() else "file"
        size = 0 if path.is_dir() else path.stat().st_size
        entry = {"type": kind, "path": path.relative_to(self.folder).as_posix(),
                 "oid": "0" * 40, "size": size}  # fmt: skip
        if dated:
            when = f"2026-01-01T00:00:{int(path.stat().st_mtime) % 60:02d}.000Z"
            entry["lastCommit"] = {"id": self.sha, "title": "synthetic", "date": when}
        return json.loads(json.dumps(entry))  # type: ignore[no-any-return]


@contextmanager
def running(server: FileServer) -> Iterator[Any]:
    """Run a server while the block runs."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


def put(client: Any, name: str, path: Path, key: str) -> None:
    """Put a file where anybody may read it."""
    client.upload_file(str(path), name, key, ExtraArgs={"ACL": "public-read"})


@contextmanager
def bucket(folder: Path, name: str = "brains") -> Iterator[tuple[str, Any]]:
    """Run an S3 server with a folder's files in a public bucket; give its address and a client."""
    import logging

    import boto3
    from moto.core.model_instances import reset_model_data
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    reset_model_data()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1",
                              aws_access_key_id="k", aws_secret_access_key="s")  # fmt: skip
        client.create_bucket(Bucket=name)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                put(client, name, path, path.relative_to(folder).as_posix())
        yield url, client
    finally:
        server.stop()
