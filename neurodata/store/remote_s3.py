"""Files in a bucket of S3 or of what speaks like it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from neurodata.errors import InvalidInputError, need
from neurodata.store.remote_http import EXTRA, in_range, without_secrets
from neurodata.store.remote_io import (
    PARALLEL,
    SLOWEST_BYTES_PER_S,
    Engine,
    Failure,
    Reply,
    engine,
)

MISSING = ("NoSuchKey", "NoSuchBucket", "404", "NotFound")
DENIED = ("AccessDenied", "403", "401", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch",
          "ExpiredToken", "InvalidToken", "AllAccessDisabled")  # fmt: skip


class S3Source:
    """A folder of a bucket.

    Parameters
    ----------
    url : str
        ``s3://bucket/path``.
    options : mapping, optional
        For `s3fs.S3FileSystem`, such as ``anon``, ``endpoint_url``, ``profile``. Without
        credentials anywhere, requests are anonymous.
    timeout_s : float
    """

    def __init__(
        self, url: str, options: Mapping[str, Any] | None = None, timeout_s: float = 30.0
    ) -> None:
        parts = urlsplit(url)
        if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise InvalidInputError("store", without_secrets(url), "s3://bucket/path")
        self.bucket, self._path = parts.netloc, parts.path.strip("/")
        self.where = self.origin = f"s3://{self.bucket}/{self._path}".rstrip("/")
        self.timeout_s = timeout_s
        self._options = dict(options or {})

    def __repr__(self) -> str:
        return f"S3Source({self.where!r})"

    async def get(self, path: str, span: tuple[int, int] | None, limit: int) -> Reply:
        """Try once to get an object or a part of it (see `remote_io.Source`)."""
        ask = {"Bucket": self.bucket, "Key": self._key(path)}
        if span is not None:
            limit = span[1]
            ask["Range"] = f"bytes={span[0]}-{span[0] + span[1] - 1}"
        async with engine().slots:
            wait_s = self.timeout_s + (span[1] if span else 2**22) / SLOWEST_BYTES_PER_S
            reply: Reply = await self._asked(self._get(ask, span, limit), wait_s)
            return reply

    async def _get(self, ask: Mapping[str, str], span: tuple[int, int] | None, limit: int) -> Reply:
        client = await self._client(engine())
        answer = await client.get_object(**ask)
        async with answer["Body"] as body:
            length = answer.get("ContentLength")
            if length is not None and length > limit:
                raise Failure("damaged", f"{length} bytes", f"at most {limit}")
            total = length if span is None else in_range(answer.get("ContentRange", ""), span)
            return Reply(await body.read(), total)

    async def folders(self, path: str) -> list[str]:
        """Return the names of the folders below a folder."""

        async def walk() -> list[str]:
            client = await self._client(engine())
            prefix = f"{self._key(path)}/".lstrip("/")
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            )
            return sorted([
                one["Prefix"][len(prefix) : -1]
                async for page in pages for one in page.get("CommonPrefixes", ())
            ])  # fmt: skip

        return await self._asked(walk(), 4 * self.timeout_s)  # type: ignore[no-any-return]

    async def modified_ns(self, path: str) -> int:
        """Return when an object was written."""

        async def look() -> int:
            client = await self._client(engine())
            head = await client.head_object(Bucket=self.bucket, Key=self._key(path))
            return int(head["LastModified"].timestamp()) * 10**9

        return await self._asked(look(), self.timeout_s)  # type: ignore[no-any-return]

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self._path, path) if part)

    async def _client(self, here: Engine) -> Any:
        """Return this process's client, made once."""
        name = f"s3 {sorted(self._options.items(), key=str)!r}"
        if name not in here.clients:
            here.clients[name] = asyncio.ensure_future(self._connect())
        try:
            return await asyncio.shield(here.clients[name])
        except Exception:
            here.clients.pop(name, None)
            raise

    async def _connect(self) -> Any:
        s3fs, session = need("s3fs", EXTRA), need("aiobotocore.session", EXTRA)
        options = {**self._options}
        if not {"anon", "key", "profile", "session"} & options.keys():
            options["anon"] = await session.AioSession().get_credentials() is None
        config = {
            "max_pool_connections": PARALLEL,
            "retries": {"total_max_attempts": 1},
            "connect_timeout": min(10.0, self.timeout_s),
            "read_timeout": self.timeout_s,
            **options.pop("config_kwargs", {}),
        }
        system = s3fs.S3FileSystem(
            asynchronous=True, skip_instance_cache=True, config_kwargs=config, **options
        )
        return await system.set_session()

    async def _asked(self, question: Any, wait_s: float) -> Any:
        """Return an answer, or what kept the server from giving one; no secrets are told."""
        errors = need("botocore.exceptions", EXTRA)
        try:
            async with asyncio.timeout(wait_s):
                return await question
        except Failure:
            raise
        except TimeoutError:
            raise Failure("again", f"no answer within {self.timeout_s:g} s") from None
        except errors.ClientError as error:
            raise _meant(error) from None
        except errors.NoCredentialsError:
            raise Failure("denied", "no credentials") from None
        except Exception as error:  # of aiohttp, botocore or s3fs: all of them on the way
            name = type(error).__name__
            if name in ("ClientPayloadError", "IncompleteReadError", "FlexibleChecksumError"):
                raise Failure("damaged", "an answer cut short") from None
            raise Failure("again", f"no connection ({name})") from None


def _meant(error: Any) -> Failure:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    found = f"{code[:40]} (status {status})"
    if code in MISSING:
        return Failure("missing", found)
    if code in DENIED or status in (401, 403):
        return Failure("denied", found)
    if code in ("InvalidRange", "416"):
        return Failure("damaged", "a file shorter than the manifest says")
    return Failure("again" if status is None or status >= 429 else "unfit", found)
