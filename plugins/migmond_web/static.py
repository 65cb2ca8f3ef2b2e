"""The files of the dashboard, from memory: there are few, and none is ever read by a name that somebody sends.

The page names them by a version of all of them together, `/v/VERSION/js/main.js`, and they name one another relatively.
What has such an address never changes, so browsers keep it and ask no more; only the page itself is asked for again,
and names another version when one of the files is another. Under their plain names they are there as well, for whoever
wants to look at them.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib import resources

import msgspec
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE, _SIGNED_IN = "index.html", "index.html with a session"
LASTING = "public, max-age=31536000, immutable"
"""For what has its version in its address (RFC 8246); no cache needs more than the year."""


class _File(msgspec.Struct, frozen=True):
    body: bytes
    packed: bytes
    type: str
    tag: str


class Files:
    """All files below `static/`, compressed once. Every other path is a page of the dashboard, which reads it itself.

    Attributes:
        version: of all of them together.
    """

    def __init__(self) -> None:
        bodies = dict(_read(resources.files("migmond_web") / "static", ""))
        self.version = _version(bodies)
        self._prefix = f"v/{self.version}/"
        bodies[_PAGE] = re.sub(rb'\b(href|src)="/', rb'\1="/' + self._prefix.encode(), bodies[_PAGE])
        # Whoever has a cookie is told so in the page: no script can see it, and may begin to listen at once.
        signed_in = bodies[_PAGE].replace(b'id="app"', b'id="app" data-session')
        self._files = {name: _packed(name, body) for name, body in bodies.items()}
        self._files[_SIGNED_IN] = _packed(_PAGE, signed_in)

    def serve(self, request: Request, *, signed_in: bool = False) -> Response:
        """Return the file that is asked for, or the page.

        Args:
            signed_in: there is a cookie of a session, which may be over.
        """
        path = request.path_params.get("path", "")
        name = path.removeprefix(self._prefix)
        found = self._files.get(name)
        if found is None and "." in path.rpartition("/")[2]:  # of an older version, for instance: then the page is too
            headers = {"cache-control": "no-store"}
            return Response("there is no such file\n", 404, headers, media_type="text/plain")
        if found is None:
            name = _PAGE
        if name == _PAGE:
            found = self._files[_SIGNED_IN if signed_in else _PAGE]
        assert found is not None
        lasting = name != path and name != _PAGE
        headers = {
            "etag": found.tag, "cache-control": LASTING if lasting else "no-cache",
            "vary": "accept-encoding, cookie" if name == _PAGE else "accept-encoding",
        }  # fmt: skip
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(found.packed, headers={**headers, "content-encoding": "gzip"}, media_type=found.type)
        return Response(found.body, headers=headers, media_type=found.type)


def _read(directory: resources.abc.Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _version(bodies: Mapping[str, bytes]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(bodies):
        digest.update(f"{name} {len(bodies[name])}\n".encode())
        digest.update(bodies[name])
    return digest.hexdigest()


def _packed(name: str, body: bytes) -> _File:
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    return _File(body, gzip.compress(body, 9, mtime=0), _TYPES[name.rpartition(".")[2]], tag)
