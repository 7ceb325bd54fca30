"""What the address of the API, a path, its parameters and a name of a program must be."""

from __future__ import annotations

import ipaddress
import math
import urllib.parse
from collections.abc import Mapping

from yarl import URL

from ._validation import check_text
from .errors import ConfigurationError

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def checked_method(method: object) -> str:
    """Return an HTTP method in upper case.

    Raises:
        TypeError: It is not text.
        ValueError: It is none that the API knows.
    """
    verb = check_text("method", method).upper()
    if verb not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, not {method!r}")
    return verb


def checked_path(path: object) -> str:
    """Return a plain path below the address of the API.

    Raises:
        TypeError: It is not text.
        ValueError: It could lead elsewhere, or has parameters.
    """
    path = check_text("path", path)
    if not path.startswith("/") or path.startswith("//"):
        raise ValueError(f"path must start with exactly one slash, unlike {path!r}")
    dots = {".", ".."} & set(urllib.parse.unquote(path).split("/"))
    if dots or any(mark in path for mark in "?#\\") or not path.isprintable():
        raise ValueError(f"path must be a plain path, unlike {path!r}; parameters go into params=")
    return path


def checked_params(params: object) -> dict[str, str | int]:
    """Return query parameters as texts.

    Raises:
        TypeError: It is no mapping from texts, or a value has no text.
        ValueError: A number is not finite.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise TypeError(f"params must be a mapping, not {type(params).__name__}")
    return {
        check_text("a key of params", name): _checked_param(f"params[{name!r}]", value)
        for name, value in params.items()
    }


def _checked_param(argument: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{argument} must be finite, not {value}")
        return str(float(value))
    if isinstance(value, str):
        return check_text(argument, value)
    raise TypeError(f"{argument} must be text, a number or a boolean, not {type(value).__name__}")


def checked_base_url(base_url: str, *, allow_http: bool) -> str:
    """Return the address of the API, without a slash at its end.

    Raises:
        TypeError: It is not text.
        ValueError: It is no http(s) address.
        ConfigurationError: The token would travel unencrypted to another machine.
    """
    base_url = check_text("base_url", base_url)
    wanted = f"base_url must be an http(s) address such as https://api.losant.com, not {base_url!r}"
    if any(mark in base_url for mark in "?#@"):
        raise ValueError("base_url must have no query, no fragment and no user name")
    try:
        url = URL(base_url)
    except ValueError as problem:
        raise ValueError(f"{wanted}: {problem}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(wanted)
    if url.scheme == "http" and not allow_http and not is_loopback(url.host):
        raise ConfigurationError(
            f"the token would travel unencrypted to {url.host}; use https, or allow_http=True (--allow-http) if it may"
        )
    return base_url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_user_agent(user_agent: object) -> str | None:
    """Return what a program calls itself in the `User-Agent`, or None.

    Raises:
        TypeError: It is not text.
        ValueError: It cannot be sent in a header.
    """
    if user_agent is None:
        return None
    text = check_text("user_agent", user_agent, 1)
    if not all(" " <= character <= "~" for character in text):
        raise ValueError("user_agent must be visible ASCII characters and blanks, such as 'portal/1.2'")
    return text
