"""A model hub on this machine: speaks enough of the Hugging Face protocol for the real client.

The client reads ``HF_ENDPOINT`` when it is imported, so tests run it in a process of its own: `Hub.python`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin")
"""Files that the hub keeps in large file storage, with a SHA-256 as their name."""


@dataclass
class Hub:
    """Repositories (name -> folder) behind a web address; a context manager.

    `cut_at` breaks the first connection that passes this many bytes of a large file; `broken` answers 503 for
    large files from then on until it is set to False. `gated` and `corrupt` name repositories.
    """

    repos: dict[str, Path]
    home: Path
    cut_at: int | None = None
    stays_broken: bool = False
    broken: bool = False
    gated: set[str] = field(default_factory=set)
    corrupt: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range header) of every request so far."""

    def __enter__(self) -> Hub:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """Value of ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, **changes: str) -> dict[str, str]:
        """Environment of a client process with caches of its own under `home`."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "DISTILCLI_"))}
        return {
            **kept,
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(self.home / "hf"),
            "DISTILCLI_CACHE": str(self.home / "distilcli"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **changes,
        }

    def run(self, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command against this hub; ``distilcli`` is the one of this Python."""
        if command[0] == "distilcli":
            command = (sys.executable, "-m", *command)
        return subprocess.run(
            command, env=self.environment(**changes), capture_output=True, text=True, timeout=120, check=False
        )

    def python(self, code: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run Python code against this hub; it may print."""
        return self.run(sys.executable, "-c", code, **changes)

    def fetched(self) -> list[str]:
        """Names of the files whose content was asked for, without metadata requests."""
        return [
            path.rsplit("/", 1)[1]
            for method, path, _ in self.requests
            if method == "GET" and "/resolve/" in path
        ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/tree/[^/]+|/revision/[^/]+)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        name = (api or file or [None, ""])[1]
        if name not in self.hub.repos:
            self._answer(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif name in self.hub.gated and not api:
            self._answer(
                403, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {name} is restricted."}
            )
        elif api:
            listing = [_describe(one) for one in sorted(self.hub.repos[name].iterdir())]
            tree = (api[2] or "").startswith("/tree/")
            self._json(listing if tree else _info(name, listing))
        else:
            assert file is not None
            self._file(name, self.hub.repos[name] / file[2])

    def _file(self, name: str, path: Path) -> None:
        if not path.is_file():
            self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = path.read_bytes()
        facts = _describe(path)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{facts["oid"]}"', "Accept-Ranges": "bytes"}
        if large := facts.get("lfs"):
            headers |= {"X-Linked-ETag": f'"{large["oid"]}"', "X-Linked-Size": str(len(content))}
            if self.hub.broken and self.command == "GET":
                self._answer(503, {"X-Error-Message": "out of order"})
                return
            if name in self.hub.corrupt:
                content = content[:-1] + bytes([content[-1] ^ 1])
        self._send(content, headers, may_cut=bool(large))

    def _send(self, content: bytes, headers: dict[str, str], *, may_cut: bool) -> None:
        start = 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            start = int(asked[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        self.send_response(206 if start else 200)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.hub.cut_at
        if may_cut and cut is not None and start + len(body) > cut:
            self.hub.cut_at, self.hub.broken = None, self.hub.stays_broken
            self.wfile.write(body[: cut - start])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(body)

    def _json(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self._answer(200, {"Content-Type": "application/json"}, body)

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _describe(path: Path) -> dict[str, Any]:
    """An entry of the tree listing; git stores a pointer in place of a large file."""
    content = path.read_bytes()
    entry: dict[str, Any] = {"type": "file", "path": path.name, "size": len(content)}
    if path.suffix in LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        )
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
        content = pointer
    entry["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return entry


def _info(name: str, listing: list[dict[str, Any]]) -> dict[str, Any]:
    siblings = []
    for one in listing:
        large = one.get("lfs")
        sibling = {"rfilename": one["path"], "size": one["size"], "blobId": one["oid"]}
        if large:
            sibling["lfs"] = {
                "sha256": large["oid"],
                "size": large["size"],
                "pointerSize": large["pointerSize"],
            }
        siblings.append(sibling)
    return {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
