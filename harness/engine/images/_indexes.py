"""From which package indexes do a person's pip settings take packages, and how is uv told so?

uv does not read pip's configuration. Company networks are configured there, so it is carried over.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import hashlib
import netrc
import os
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from html.parser import HTMLParser
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from harness.errors import ImageBuildError

__all__ = ["Indexes", "fetch", "pip_settings", "uv_arguments", "uv_environment"]

_TIMEOUT_S = 30


class Indexes(BaseModel):
    """Where packages come from."""

    model_config = ConfigDict(frozen=True)

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    no_index: bool = False
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Give every index, pip's main one first."""
        if self.no_index:
            return ()
        main = self.index_url or _pips_own_index()
        return (main, *self.extra_index_urls) if main else self.extra_index_urls


def _pips_own_index() -> str | None:
    """Ask pip where it looks when nobody tells it; None where there is no pip."""
    try:
        from pip._internal.models.index import PyPI  # noqa: PLC0415 - a third of a second, for builds only
    except ImportError:
        return None
    return str(PyPI.simple_url)


def pip_settings() -> Indexes:
    """Read pip's files and variables in pip's order: later ones win."""
    settings: dict[str, str] = {}
    for file in _pip_files():
        parser = configparser.RawConfigParser()
        with contextlib.suppress(configparser.Error, UnicodeDecodeError):
            parser.read(file, encoding="utf-8")
        for section in ("global", "download", "install"):
            if parser.has_section(section):
                settings.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            settings[name[4:].lower().replace("_", "-")] = value
    return Indexes(
        index_url=_of_uv("UV_DEFAULT_INDEX", "UV_INDEX_URL") or settings.get("index-url") or None,
        extra_index_urls=tuple(settings.get("extra-index-url", "").split()),
        find_links=tuple(settings.get("find-links", "").split()),
        trusted_hosts=tuple(settings.get("trusted-host", "").split()),
        no_index=settings.get("no-index", "").lower() in {"1", "true", "yes", "on"},
        cert=settings.get("cert") or None,
        client_cert=settings.get("client-cert") or None,
        proxy=settings.get("proxy") or None,
    )


def uv_arguments(indexes: Indexes) -> list[str]:
    """Give the options that make uv look where pip would; a person's own uv settings win."""
    arguments = ["--index-strategy", "unsafe-best-match"]  # pip's way: the best of all indexes, not of the first
    if not any(name in os.environ for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_EXTRA_INDEX_URL")):
        if indexes.index_url:
            arguments += ["--index-url", indexes.index_url]
        for url in indexes.extra_index_urls:
            arguments += ["--extra-index-url", url]
        if indexes.no_index:
            arguments.append("--no-index")
    if "UV_FIND_LINKS" not in os.environ:
        for place in indexes.find_links:
            arguments += ["--find-links", place]
    for host in indexes.trusted_hosts:
        arguments += ["--allow-insecure-host", host]
    return arguments


def uv_environment(indexes: Indexes) -> dict[str, str]:
    """Give the variables that make uv trust and pass what pip would."""
    environment = {}
    cert = indexes.cert or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if cert and "SSL_CERT_FILE" not in os.environ:
        environment["SSL_CERT_FILE"] = cert
    if indexes.client_cert and "SSL_CLIENT_CERT" not in os.environ:
        environment["SSL_CLIENT_CERT"] = indexes.client_cert
    if indexes.proxy:
        environment.update(HTTP_PROXY=indexes.proxy, HTTPS_PROXY=indexes.proxy)
    return environment


def fetch(indexes: Indexes, project: str, file_name: str, sha256: str) -> bytes:
    """Get one file of a project from the first place that has it.

    Raises:
        ImageBuildError: No place has it, or what came is not the file that the recipe names.

    """
    tried: list[str] = []
    for place in indexes.find_links:
        content = _from_place(indexes, place, file_name, tried)
        if content is not None:
            return _checked(content, file_name, sha256, place)
    for url in indexes.urls:
        content = _from_place(indexes, f"{url.rstrip('/')}/{project}/", file_name, tried)
        if content is not None:
            return _checked(content, file_name, sha256, url)
    raise ImageBuildError(
        "\n".join([f"{file_name} is not to be had", *(f"    {line}" for line in tried)]),
        remedy="check pip's index settings, or put the file into a folder that pip's find-links names",
    )


def _of_uv(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _pip_files() -> list[Path]:
    own = os.environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    home = Path.home()
    system = [Path(folder, "pip", "pip.conf") for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    mac = home / "Library" / "Application Support" / "pip" / "pip.conf"
    files = [*system, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", mac, user, Path(sys.prefix, "pip.conf")]
    return [*files, *([Path(own)] if own else [])]


def _from_place(indexes: Indexes, place: str, file_name: str, tried: list[str]) -> bytes | None:
    """Look in a folder, or on a page of links (which an index's project page is, too)."""
    parts = urllib.parse.urlsplit(place)
    try:
        if parts.scheme in {"", "file"}:
            folder = Path(urllib.request.url2pathname(parts.path) if parts.scheme else place)
            if (folder / file_name).is_file():
                return (folder / file_name).read_bytes()
            page = folder / "index.html"
            if not page.is_file():
                tried.append(f"{folder}: not there")
                return None
            text, base = page.read_text(encoding="utf-8"), page.as_uri()
        else:
            text, base = _get(indexes, place).decode("utf-8", "replace"), place
        links = _Links()
        links.feed(text)
        for link in links.found:
            if urllib.parse.unquote(link.partition("#")[0].rpartition("/")[2]) == file_name:
                return _get(indexes, urllib.parse.urljoin(base, link.partition("#")[0]))
    except (OSError, ValueError) as error:
        tried.append(f"{_without_secrets(place)}: {getattr(error, 'reason', error)}")
    else:
        tried.append(f"{_without_secrets(place)}: not there")
    return None


def _get(indexes: Indexes, url: str) -> bytes:
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": "application/vnd.pypi.simple.v1+html, text/html;q=0.9, */*;q=0.1"}
    login = None
    if parts.username:
        login = (urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
    else:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            entry = netrc.netrc().authenticators(parts.hostname or "")
            login = (entry[0], entry[2] or "") if entry else None
    if login:
        token = base64.b64encode(":".join(login).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    proxies = {"http": indexes.proxy, "https": indexes.proxy} if indexes.proxy else None
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=_tls(indexes, parts)),
        urllib.request.ProxyHandler(proxies),
    )
    with opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S) as response:  # noqa: S310 - a person's own index
        content: bytes = response.read()
    return content


def _tls(indexes: Indexes, parts: urllib.parse.SplitResult) -> ssl.SSLContext:
    cert = indexes.cert or os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
    context = ssl.create_default_context(cafile=cert if cert and Path(cert).is_file() else None)
    if {parts.hostname, f"{parts.hostname}:{parts.port}"} & set(indexes.trusted_hosts):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if indexes.client_cert:
        context.load_cert_chain(indexes.client_cert)
    return context


def _checked(content: bytes, file_name: str, sha256: str, place: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ImageBuildError(
            f"{file_name} from {_without_secrets(place)} is not the file that the recipe names: sha256 {found}",
            remedy="look at that index: it serves another file under this name",
        )
    return content


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


class _Links(HTMLParser):
    """The links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.extend(value for name, value in attrs if name == "href" and value)
