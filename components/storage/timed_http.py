"""HTTP for `requests` that keeps to the current operation's allowance, down to each read of a socket.

session.mount("https://", TimedAdapter())
"""

import socket
import ssl
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.util.ssl_ import create_urllib3_context

from components.storage.allowance import current

if TYPE_CHECKING:
    _Socket = socket.socket
else:
    _Socket = object  # beside the kind of socket whose calls are timed


class _Timed(_Socket):
    """Ends each call within what the operation has left, and counts the bytes."""

    def recv_into(self, *arguments: Any) -> int:
        return self._timed(super().recv_into, *arguments)

    def send(self, *arguments: Any) -> int:
        return self._timed(super().send, *arguments)

    def sendall(self, data: Any, flags: int = 0) -> None:
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest, flags) :]

    def _timed(self, call: Any, *arguments: Any) -> int:
        allowance = current()
        if allowance is None:
            return int(call(*arguments))
        usual, left = self.gettimeout(), allowance.left()
        self.settimeout(left if usual is None else min(usual, left))
        try:
            moved = int(call(*arguments))
        except TimeoutError:
            allowance.left()  # says so, if that was why
            raise
        finally:
            self.settimeout(usual)
        allowance.earn(moved)
        return moved


class _TimedSocket(_Timed, socket.socket):
    pass


class _TimedTlsSocket(_Timed, ssl.SSLSocket):
    pass


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        timeout = self.sock.gettimeout()
        self.sock = _TimedSocket(fileno=self.sock.detach())
        self.sock.settimeout(timeout)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


_POOLS = {"http": _Pool, "https": urllib3.HTTPSConnectionPool}


class TimedAdapter(HTTPAdapter):
    """An adapter whose requests end when the operation's allowance does."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Sends a request with timeouts that are no longer than what is left."""
        allowance = current()
        if allowance is not None:
            left = allowance.left()
            pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
            timeout = tuple(left if each is None else min(each, left) for each in pair)
        return super().send(request, stream, timeout, verify, cert, proxies)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Makes the pools of connections, whose sockets are timed."""
        super().init_poolmanager(*arguments, ssl_context=_tls(), **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """Makes those that lead through a proxy."""
        manager = super().proxy_manager_for(*arguments, ssl_context=_tls(), **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def _tls() -> ssl.SSLContext:
    context = create_urllib3_context()
    context.sslsocket_class = _TimedTlsSocket
    return context
