"""The model hub of `tests.support.hub` with the other half of the protocol: repositories, LFS, commits.

Speaks plain LFS; clients set ``HF_HUB_DISABLE_XET``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.hub import COMMIT, LARGE, Hub, _Handler


@dataclass
class UploadHub(Hub):
    """A hub that takes uploads and keeps repositories in folders under `home`.

    `refuses` answers 403 to whoever makes a repository; `fails_at_large` refuses that many large files
    before it takes one.
    """

    refuses: bool = False
    fails_at_large: int = 0
    private: dict[str, bool] = field(default_factory=dict)
    commits: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    """(repository, message, files) of every commit."""
    large: dict[str, bytes] = field(default_factory=dict)
    """Large files that have arrived, by SHA-256."""

    def __enter__(self) -> UploadHub:
        handler = type("Handler", (_UploadHandler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def environment(self, **changes: str) -> dict[str, str]:
        return super().environment(HF_HUB_DISABLE_XET="1", HF_TOKEN="hf_test", **changes)

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        """Writes the files of one commit."""
        folder = self.repos[repo]
        files = []
        for line in lines[1:]:
            value = line["value"]
            content = (
                base64.b64decode(value["content"]) if line["key"] == "file" else self.large[value["oid"]]
            )
            (folder / value["path"]).write_bytes(content)
            files.append(value["path"])
        self.commits.append((repo, lines[0]["value"]["summary"], tuple(sorted(files))))

    def make(self, repo: str, *, private: bool) -> bool:
        """Makes an empty repository; False where there is one."""
        if repo in self.repos:
            return False
        folder = Path(self.home) / "repositories" / repo.replace("/", "--")
        folder.mkdir(parents=True)
        self.repos[repo], self.private[repo] = folder, private
        return True


class _UploadHandler(_Handler):
    hub: UploadHub

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(("POST", path, None))
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self._json({"files": [_mode(file["path"]) for file in files]})
        elif path.endswith("/info/lfs/objects/batch"):
            self._json(
                {"transfer": "basic", "objects": [self._object(one) for one in json.loads(body)["objects"]]}
            )
        elif path.endswith("/commit/main"):
            repo = path.removeprefix("/api/models/").removesuffix("/commit/main")
            self.hub.commit(repo, [json.loads(line) for line in body.splitlines()])
            self._json(
                {
                    "success": True,
                    "commitOid": COMMIT,
                    "commitUrl": f"{self.hub.address}/{repo}/commit/{COMMIT}",
                }
            )
        else:
            self._answer(404, {"X-Error-Message": f"no such address: {path}"})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(("PUT", self.path, None))
        if self.hub.fails_at_large:
            self.hub.fails_at_large -= 1
            self._answer(400, {"X-Error-Message": "out of order"})
            return
        self.hub.large[hashlib.sha256(body).hexdigest()] = body
        self._answer(200, {})

    def _create(self, asked: dict[str, Any]) -> None:
        if self.hub.refuses:
            self._answer(403, {"X-Error-Message": "this token may not write"})
            return
        owner = asked.get("organization") or "someone"
        repo = f"{owner}/{asked['name']}"
        private = asked.get("private") or asked.get("visibility") == "private"
        made = self.hub.make(repo, private=bool(private))
        body = json.dumps({"url": f"{self.hub.address}/{repo}", "name": repo, "id": COMMIT}).encode()
        self._answer(200 if made else 409, {"Content-Type": "application/json"}, body)

    def _object(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.hub.large:
            return asked
        address = f"{self.hub.address}/upload/{asked['oid']}"
        return {**asked, "actions": {"upload": {"href": address}}}


def _mode(path: str) -> dict[str, Any]:
    mode = "lfs" if path.endswith(LARGE) else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False}
