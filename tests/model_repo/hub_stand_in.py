"""A model hub on loopback: the parts of its HTTP interface that `huggingface_hub` and the downloads use.

Large files are redirected to another host name, as the hub does. A test cuts, stalls, falsifies or forbids what it
wants to.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from model_repo.hub_models import HubModel

MAIN = "c" * 40  # the commit of a branch
LFS_SUFFIXES = (".safetensors", ".bin", "tekken.json")


@dataclass
class Repository:
    """A repository: its files, the commit that its branches mean, and who may read it."""

    files: dict[str, bytes]
    commit: str
    token: str = ""
    refusal: tuple[int, str] = (401, "GatedRepo")
    advertised_sizes: dict[str, int] = field(default_factory=dict)
    without_digests: bool = False
    told_commit: str = ""

    def facts(self, name: str) -> dict[str, Any]:
        """What the hub says about a file."""
        if self.without_digests:
            return {"rfilename": name}
        data = self.files[name]
        size = self.advertised_sizes.get(name, len(data))
        git_sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        facts: dict[str, Any] = {"rfilename": name, "size": size, "blobId": git_sha1}
        if name.endswith(LFS_SUFFIXES):
            facts["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 130}
        return facts


@dataclass
class HubStandIn:
    """A running hub. Its attributes may be changed between two requests.

    Attributes:
        sent_instead: file → what is sent in its place, under the right digest.
        cut_after: file → bytes after which the next answer with it ends too early. Each cut happens once.
        stall_after: file → bytes after which an answer goes on only when `may_go_on` is set.
        requests: (method, path without query, range, token, host) of each request.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    sent_instead: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    stall_after: dict[str, int] = field(default_factory=dict)
    may_go_on: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    address: str = ""

    def add(self, model: HubModel, files: dict[str, bytes], **more: Any) -> Repository:
        """Add the repository of a listed model, at the listed commit."""
        commit = model.revision if len(model.revision) == 40 else MAIN
        self.repositories[model.repository] = Repository(files, commit, **more)
        return self.repositories[model.repository]

    def sent_ranges(self, name: str) -> list[str]:
        """The ranges of the requests that were answered with bytes of the file; empty for all of it."""
        return [asked for method, path, asked, _, _ in self.requests if method == "GET" and self._sends(path, name)]

    def _sends(self, path: str, name: str) -> bool:
        return path.endswith(f"/{name}") and ("/cdn/" in path or not name.endswith(LFS_SUFFIXES))


class _Handler(BaseHTTPRequestHandler):
    hub: HubStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        host = self.headers["Host"].partition(":")[0]
        self.hub.requests.append((self.command, path, self.headers.get("Range", ""), token, host))
        if path == "/":
            self._send(200, b"a hub")
        elif matched := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
            self._send_info(matched[1], matched[2], token)
        elif matched := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            if repository := self._readable(matched[1], matched[2], token):
                self._resolve(repository, matched[1], matched[3], with_body)
        elif matched := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self._send_file(self.hub.repositories[matched[1]], matched[2], with_body)
        else:
            self._send(404, b"")

    def _readable(self, name: str, revision: str, token: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif repository.token and token != repository.token:
            status, code = repository.refusal
            self._send(status, b"", {"X-Error-Code": code} if code else {})
        elif revision not in (repository.commit, "main"):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            return repository
        return None

    def _send_info(self, name: str, revision: str, token: str) -> None:
        if repository := self._readable(name, revision, token):
            siblings = [repository.facts(file) for file in repository.files]
            info = {
                "id": name,
                "modelId": name,
                "sha": repository.told_commit or repository.commit,
                "siblings": siblings,
            }
            info |= {"tags": [], "private": False, "downloads": 0, "likes": 0}
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repository: Repository, name: str, file: str, with_body: bool) -> None:
        if file not in repository.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        facts = repository.facts(file)
        if "lfs" in facts:
            port = self.hub.address.rpartition(":")[2]
            facts = {
                "Location": f"http://localhost:{port}/cdn/{name}/{file}",
                "X-Linked-Etag": f'"{facts["lfs"]["sha256"]}"',
                "X-Linked-Size": str(facts["size"]),
            }
            self._send(302, b"", {"X-Repo-Commit": repository.commit, **facts})
        else:
            self._send_file(repository, file, with_body, {"ETag": f'"{facts["blobId"]}"'})

    def _send_file(
        self, repository: Repository, file: str, with_body: bool, headers: dict[str, str] | None = None
    ) -> None:
        data = self.hub.sent_instead.get(file, repository.files[file])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        for name, value in ({"X-Repo-Commit": repository.commit} | (headers or {})).items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if not with_body:
            return
        if file in self.hub.cut_after:
            self.wfile.write(data[start : self.hub.cut_after.pop(file)])
            self.close_connection = True
        elif file in self.hub.stall_after:
            stop = self.hub.stall_after[file]
            self.wfile.write(data[start:stop])
            self.wfile.flush()
            self.hub.stalled.set()
            self.hub.may_go_on.wait(60)
            self.wfile.write(data[max(start, stop) :])
        else:
            self.wfile.write(data[start:])

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is what some tests are about."""


@contextmanager
def serve_hub() -> Iterator[HubStandIn]:
    """Run a hub without repositories."""
    hub = HubStandIn()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.may_go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
