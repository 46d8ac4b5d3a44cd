"""Logs in to a Kubeflow installation whose gateway sends strangers to Dex, as a browser would."""

import http.client
import http.cookiejar
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
      StorageError: Dex did not accept them, this is no Dex, or it lies on another host than `host`, or
        outside the TLS that `host` has; NoAnswerError if nothing answers.
    """
    cookies = http.cookiejar.CookieJar()
    tls = ssl.create_default_context(cafile=str(ca_cert_path) if ca_cert_path else None)
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(cookies),
        urllib.request.HTTPSHandler(context=tls),
        _SameHostRedirects(host),
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
    except (http.client.HTTPException, ValueError) as error:
        raise StorageError(f"{host}: login failed: no HTTP ({type(error).__name__})") from None
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


class _SameHostRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects within the gateway: user name and password go where the last one of them leads."""

    def __init__(self, host: str) -> None:
        self._host = host

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Raises StorageError instead where the address is another host's, or gives up TLS."""
        if not is_within(newurl, self._host):
            fp.close()
            target = urllib.parse.urlsplit(newurl)
            raise StorageError(
                f"{self._host}: login leads to {target.scheme}://{target.netloc}, where a password for "
                "this host must not go (auth)"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_within(url: str, host: str) -> bool:
    """Says whether `url` is of the same origin as `host`, or of its host behind TLS."""
    target, gateway = urllib.parse.urlsplit(url), urllib.parse.urlsplit(host)
    same_origin = (target.scheme, target.netloc) == (gateway.scheme, gateway.netloc)
    return same_origin or (target.scheme, target.hostname) == ("https", gateway.hostname)


def _refused(host: str) -> StorageError:
    return StorageError(f"{host}: Dex refused the user name or password")
