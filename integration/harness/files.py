# SPDX-License-Identifier: Apache-2.0
"""A static web server, as anybody would start one: pages need it, since modules do not load from
file: URLs."""
import functools
import http.server
import threading

from .node import ROOT
from .ports import free_port


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Server:
    """Answers HTTP as `handler` says. Use as a context manager."""

    def __init__(self, handler):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def url(self, path):
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"


class Files(Server):
    """The files of the repository by HTTP."""

    def __init__(self, folder=ROOT):
        super().__init__(functools.partial(_Quiet, directory=str(folder)))
