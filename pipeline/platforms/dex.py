"""Logs in to a Kubeflow installation whose gateway sends strangers to Dex, as a browser would."""

import http.cookiejar
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from components.errors import StorageError
from pipeline.platforms.platform import NoAnswerError, network_trouble, one_line

_IS_DEX = "/dex/"


def session_cookie(
    host: str, username: str, password: str, *, timeout: float, ca_cert_path: Path | None = None
) -> str:
    """Returns the session's cookies, ready for a `Cookie` header.

    Args:
      host: any page behind the gateway.
      username: of Dex's static password or LDAP connector.
      password: its password; neither of the two is ever printed.
      timeout: seconds for each request.
      ca_cert_path: the authority that signed the gateway's certificate, beside the usual ones.

    Raises:
      StorageError: Dex did not accept them, or this is no Dex; NoAnswerError if nothing answers.
    """
    cookies = http.cookiejar.CookieJar()
    tls = ssl.create_default_context(cafile=str(ca_cert_path) if ca_cert_path else None)
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(cookies), urllib.request.HTTPSHandler(context=tls)
    )

    def visit(url: str, form: dict[str, str] | None = None) -> str:
        """Returns the address at which the redirects end."""
        data = urllib.parse.urlencode(form).encode() if form else None
        with browser.open(url, data, timeout=timeout) as page:
            return str(page.url)

    try:
        address = _logged_in(host, visit, username, password)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 401:
            raise _refused(host) from None
        raise StorageError(f"{host}: login failed at {error.code} {one_line(error.reason)}") from None
    except OSError as error:
        raise NoAnswerError(f"{host}: cannot be reached: {network_trouble(error)}") from None
    if _IS_DEX in address:
        raise _refused(host)
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)


def _logged_in(host: str, visit: Callable[..., str], username: str, password: str) -> str:
    """Returns the address after the login form; still within Dex if that was in vain."""
    address = visit(host)
    if _IS_DEX not in address:
        raise StorageError(f"{host}: did not lead to a Dex login (auth)")
    parts = urllib.parse.urlsplit(address)
    if parts.path.endswith("/auth"):  # a choice of connectors
        address = visit(parts._replace(path=f"{parts.path}/local").geturl())
    address = visit(address, {"login": username, "password": password})
    if urllib.parse.urlsplit(address).path.endswith("/approval"):
        address = visit(address, {"approval": "approve"})
    return address


def _refused(host: str) -> StorageError:
    return StorageError(f"{host}: Dex refused the user name or password")
