"""Typed reading of environment variables; a bad value stops the start with a sentence."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from compute import environment
from compute.errors import ConfigError
from compute.store.address import StoreAddress, store_address

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SECRET = re.compile(r"KEY|SECRET|PASSWORD|DSN|URL")
secret_files: dict[str, Path] = {}  # that were read, by the setting
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def text(name: str, default: str = "") -> str:
    """The value, or what the file named by NAME_FILE holds."""
    if (file := os.environ.get(f"{name}_FILE")) and _SECRET.search(name):
        secret_files[name] = Path(file).absolute()
    with _stopping_the_start():
        return environment.text(name, default)


@contextlib.contextmanager
def _stopping_the_start() -> Iterator[None]:
    """What the computing side says of a setting, as Django wants to hear it."""
    try:
        yield
    except ConfigError as error:
        raise ImproperlyConfigured(str(error)) from error


def flag(name: str, default: bool = False) -> bool:
    value = text(name, str(default)).lower()
    if value not in _TRUE + _FALSE:
        raise ImproperlyConfigured(f"{name} is {value!r}; write 1 or 0.")
    return value in _TRUE


def integer(name: str, default: int, *, least: int = 0) -> int:
    with _stopping_the_start():
        return environment.integer(name, default, least=least)


def of_what_computes() -> None:
    """Refuse at the start what the computing side, which reads these by itself, would refuse in the middle of a job."""
    with _stopping_the_start():
        environment.threads()
        environment.converted_cache()


def choice(name: str, default: str, choices: Sequence[str]) -> str:
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; choose among {', '.join(choices)}.")
    return value


def device(name: str) -> str:
    """A device to compute on: cpu, cuda, or cuda:N."""
    value = text(name, "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", value):
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be cpu, cuda, or one GPU of several, such as cuda:1.")
    return value


def needed(name: str, because: str) -> str:
    """A value that another setting cannot do without."""
    value = text(name)
    if not value:
        raise ImproperlyConfigured(f"{because} is set, but {name} is not; both are needed.")
    return value


def listed(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in text(name, default).split(",") if item.strip()]


def several(name: str, choices: Sequence[str]) -> list[str]:
    """Some of these; all, where none is named."""
    values = listed(name) or list(choices)
    if unknown := [value for value in values if value not in choices]:
        raise ImproperlyConfigured(f"{name} names {', '.join(unknown)}; choose among {', '.join(choices)}.")
    return values


def address(name: str) -> str:
    """The address of a site, without its last slash; empty where none is given."""
    value = text(name).rstrip("/")
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise ImproperlyConfigured(f"{name} is {value!r}; write a whole address, such as https://quanta.example.org.")
    return value


def server(name: str, password: str = "") -> str:
    """The address of a Redis: redis://, rediss:// or unix://; empty where none is given.

    One that holds no password gets that of the setting which `password` names. With TLS (rediss://) the server's
    certificate is checked unless the address says otherwise, which its libraries do not all do by themselves.
    """
    value = text(name)
    parts = urlsplit(value)
    if value and parts.scheme not in ("redis", "rediss", "unix", "redis+socket", "sentinel"):
        raise ImproperlyConfigured(
            f"{name} names no Redis; write redis://:password@host:6379/0, rediss://… or unix://…"
        )
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in parse_qs(parts.query):
        value += f"{'&' if parts.query else '?'}ssl_cert_reqs=required"
        parts = urlsplit(value)
    if parts.hostname and parts.password is None and password and (secret := text(password)):
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{parts.username or ''}:{quote(secret, safe='')}@{host}").geturl()
    return value


def origins(name: str) -> list[str]:
    """Other sites, as a browser names them: https://lab.example.org."""
    found = listed(name)
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}" or not parts.netloc:
            raise ImproperlyConfigured(
                f"{name} names {origin!r}; write whole origins with commas between them, such as "
                "https://lab.example.org, and nothing after the host."
            )
    return found


def database(name: str, default: str) -> dict[str, Any]:
    """Django's settings of the database at an address: a PostgreSQL, or an SQLite in a file."""
    try:
        found: dict[str, Any] = {**dj_database_url.parse(text(name) or default)}
    except ValueError:  # whose own words may quote the password
        found = {"ENGINE": "", "NAME": ""}
    if not found["ENGINE"].endswith(("postgresql", "sqlite3")) or found["NAME"] in ("", ":memory:"):
        raise ImproperlyConfigured(
            f"{name} names no database that this site can use; write postgres://user:password@host:5432/name, where "
            "signs of the password other than letters and digits are written as % and their code, or sqlite:////folder/file."
        )
    return found


def mail_server() -> dict[str, Any] | None:
    """Django's settings of the server that sends mail: from QW_EMAIL_URL, or QW_EMAIL_HOST and its like; None without.

    smtp:// upgrades to TLS (STARTTLS), smtps:// speaks it from the start, smtp+plain:// never does.
    """
    url = text("QW_EMAIL_URL") or _mail_url()
    if not url:
        return None
    parts = urlsplit(url)
    ports = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
    try:
        if parts.scheme not in ports or not parts.hostname:
            raise ValueError
        port = parts.port or ports[parts.scheme]
    except ValueError:
        raise ImproperlyConfigured(
            "QW_EMAIL_URL names no mail server; write smtp://user:password@host:587, smtps://… or smtp+plain://…."
        ) from None
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
    }


def _mail_url() -> str:
    host = text("QW_EMAIL_HOST")
    if not host:
        return ""
    scheme = {"starttls": "smtp", "tls": "smtps", "none": "smtp+plain"}[
        choice("QW_EMAIL_SECURITY", "starttls", ("starttls", "tls", "none"))
    ]
    port = integer("QW_EMAIL_PORT", 0)
    user, password = quote(text("QW_EMAIL_USER"), safe=""), quote(text("QW_EMAIL_PASSWORD"), safe="")
    return (
        f"{scheme}://{user}{':' + password if password else ''}{'@' if user else ''}{host}{f':{port}' if port else ''}"
    )


def folders(name: str) -> list[Path]:
    """Folders, separated by commas; each must be there."""
    found = [Path(item).expanduser() for item in listed(name)]
    for folder in found:
        if not (folder.is_absolute() and folder.is_dir()) or folder.parent == folder:
            raise ImproperlyConfigured(
                f"{name} names {folder}, which is no folder below /; write whole paths with commas between them."
            )
    return found


def store() -> StoreAddress | None:
    """The artifact store that QW_STORE_URL and its like name; None without."""
    with _stopping_the_start():
        return store_address(
            text("QW_STORE_URL"),
            endpoint=text("QW_STORE_ENDPOINT"),
            key=text("QW_STORE_KEY"),
            secret=text("QW_STORE_SECRET"),
            is_insecure=flag("QW_STORE_INSECURE"),
            patience=integer("QW_STORE_PATIENCE_SECONDS", 120, least=1),
        )


def language_model() -> tuple[str, str]:
    """The base of an OpenAI-compatible API, and what it calls its model; the first is empty where none is asked."""
    url, name = text("QW_SUGGEST_URL").rstrip("/"), text("QW_SUGGEST_MODEL")
    if url and not (url.startswith(("http://", "https://")) and urlsplit(url).hostname):
        raise ImproperlyConfigured(
            "QW_SUGGEST_URL must be the http(s) address of an OpenAI-compatible API, like https://api.example.org/v1."
        )
    if url and not name:
        raise ImproperlyConfigured("QW_SUGGEST_URL is set; name the endpoint’s model in QW_SUGGEST_MODEL too.")
    return url, name


def secret_key(file: Path) -> str:
    """The secret that was given, or one made on the first start and kept in the data folder (mode 0600)."""
    given = text("QW_SECRET_KEY")
    if given:
        return given
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _make_secret(file)
        return file.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {file.parent} cannot be written ({error.strerror}). "
            "Choose another with QW_DATA_DIR, or mend its permissions."
        ) from error


def _make_secret(file: Path) -> None:
    """Write the file whole or not at all: another process may want it at the same moment."""
    from django.core.management.utils import get_random_secret_key

    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as handle:
            handle.write(get_random_secret_key())
            handle.flush()
            os.fsync(handle.fileno())
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(partial, file)
    finally:
        partial.unlink(missing_ok=True)
