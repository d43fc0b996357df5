"""What a site that others reach must not start with, each said in a sentence."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SHORTEST_SECRET, FEWEST_SIGNS = 50, 10
SHORTEST_METRICS_KEY = 20
SHORTEST_PASSWORD = 12  # of the database, the broker and the cache
_PLACEHOLDER = re.compile(
    r"(?i)change.?me|placeholder|insecure|example|replace.?(?:me|this)|your.?(?:secret|password|key)|in.a.file|(.)\1{7}"
)
_IN_A_FILE = "in-a-file"  # what stands in .env where Compose asks for a password that lies in a file
_NETWORK_DISKS = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|fuse\.sshfs|ceph|fuse\.ceph|lustre|glusterfs|fuse\.glusterfs|gpfs|beegfs|afs"
)
_CONTAINER_SECRETS = Path("/run/secrets")  # mounted for one container alone, readable by whoever runs in it
_NO_HOST = {"", "localhost"}


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a process is about to start with."""

    debug: bool
    hosts: list[str]
    behind_tls: bool
    insecure_http: bool
    secret: str  # that was given; empty where the data folder's own is used
    origins: list[str]
    site_url: str
    database: Mapping[str, Any]
    runner: str
    database_password: str  # QW_DATABASE_PASSWORD; what is sent stands in `database`
    broker_url: str
    cache_url: str
    broker_password: str  # QW_BROKER_PASSWORD; what is sent stands in the two addresses
    mail_server: Mapping[str, Any] | None
    issuer: str
    suggest_url: str
    suggest_private: bool
    web_processes: int
    proxies: int
    metrics_key: str
    data_dir: Path
    secret_files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_production(self) -> bool:
        """Whether others than this machine are let in."""
        return self.behind_tls or any(not is_loopback(host) for host in self.hosts)

    @property
    def reaches_others(self) -> bool:
        """Whether it sends passwords and texts to servers of other machines, as a further machine's workers do."""
        servers = [str(self.database.get("HOST") or ""), *(urlsplit(url).hostname or "" for url in self.redis.values())]
        return any(not host.startswith("/") and not is_loopback(host) for host in servers)

    @property
    def is_sqlite(self) -> bool:
        return str(self.database["ENGINE"]).endswith("sqlite3")

    @property
    def redis(self) -> dict[str, str]:
        """Addresses of the servers that are really asked, by the setting that names them."""
        broker = {"QW_BROKER_URL": self.broker_url} if self.runner == "celery" else {}
        return {"QW_CACHE_URL": self.cache_url} | broker

    @property
    def passwords(self) -> dict[str, str]:
        """Those that are really sent to the database, the broker and the cache, by the setting that holds them."""
        found = {}
        if not self.is_sqlite:
            sent = str(self.database.get("PASSWORD") or "")
            found["QW_DATABASE_PASSWORD" if sent == self.database_password else "QW_DATABASE_URL"] = sent
        for name, address in self.redis.items():
            sent = unquote(urlsplit(address).password or "")
            found["QW_BROKER_PASSWORD" if sent == self.broker_password else name] = sent
        return {name: sent for name, sent in found.items() if sent}


def refuse(start: Start, mounts: str = "/proc/self/mountinfo") -> None:
    """Raise unless it is safe to start so."""
    checks: list[Callable[[Start], Iterator[str]]] = [_always]
    if start.is_production:
        checks += [_openness, _secret, _addresses, _processes, _files]
    if start.is_production or start.reaches_others:
        checks += [_servers, _passwords, _in_the_clear]
    said = [sentence for check in checks for sentence in check(start)]
    if start.is_sqlite and (kind := network_disk(Path(str(start.database["NAME"])), mounts)):
        said.append(
            f"The database {start.database['NAME']} lies on a network disk ({kind}), where SQLite loses data. "
            "Set QW_DATA_DIR to a folder on a disk of this machine, or QW_DATABASE_URL to a PostgreSQL."
        )
    if said:
        raise ImproperlyConfigured(" ".join(said))


def is_loopback(host: str) -> bool:
    """Whether a name or address, as in ALLOWED_HOSTS or an address, is this machine's own."""
    name = host.strip("[]").lower()
    name = name.rstrip(".") if name.strip(".") else name
    if name in _NO_HOST or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _always(start: Start) -> Iterator[str]:
    if _PLACEHOLDER.search(start.metrics_key):
        yield (
            "QW_METRICS_KEY is still a placeholder, which anybody can read up. "
            "Take what `openssl rand -hex 32` prints, or leave it out."
        )
    elif start.metrics_key and len(start.metrics_key) < SHORTEST_METRICS_KEY:
        yield (
            f"QW_METRICS_KEY has {len(start.metrics_key)} characters and can be guessed; take at least "
            f"{SHORTEST_METRICS_KEY}, such as what `openssl rand -hex 32` prints."
        )
    if start.behind_tls and start.insecure_http:
        yield "QW_BEHIND_TLS and QW_INSECURE_HTTP contradict each other; keep one of them."


def _openness(start: Start) -> Iterator[str]:
    if start.debug:
        yield "QW_DEBUG shows settings and source to whoever causes an error; leave it off where others reach the site."
    if any(host in ("*", ".") for host in start.hosts):
        yield (
            "QW_ALLOWED_HOSTS must not be *: links in letters are made from the name that a request claims. "
            "List the names that people use."
        )
    if not start.behind_tls and not start.insecure_http:
        yield (
            "QW_ALLOWED_HOSTS opens the site to others, but without TLS passwords and keys cross the network for "
            "everybody to read. Put a proxy that speaks HTTPS in front and set QW_BEHIND_TLS=1; or, where it is meant "
            "so, QW_INSECURE_HTTP=1."
        )
    if start.behind_tls and start.proxies == 0:
        yield (
            "QW_BEHIND_TLS says that a proxy stands in front, and QW_PROXIES that none does: limits would count "
            "everybody as one. Set QW_PROXIES to the number of proxies, 1 for the one of docker-compose.yml."
        )


def _secret(start: Start) -> Iterator[str]:
    how = "Take what `openssl rand -hex 32` prints."
    if not start.secret:
        yield f"QW_ALLOWED_HOSTS opens the site to others; set QW_SECRET_KEY (or QW_SECRET_KEY_FILE) too. {how}"
    elif _PLACEHOLDER.search(start.secret):
        yield f"QW_SECRET_KEY is still a placeholder, which anybody can read up. {how}"
    elif len(start.secret) < SHORTEST_SECRET or len(set(start.secret)) < FEWEST_SIGNS:
        yield (
            f"QW_SECRET_KEY has {len(start.secret)} characters, {len(set(start.secret))} different ones; it needs "
            f"{SHORTEST_SECRET} and {FEWEST_SIGNS}, or sessions can be forged. {how}"
        )


def _addresses(start: Start) -> Iterator[str]:
    if start.site_url:
        site = urlsplit(start.site_url)
        if not _is_allowed(str(site.hostname), start.hosts):
            yield f"QW_SITE_URL names {site.hostname}, which QW_ALLOWED_HOSTS does not list; links would lead nowhere."
        if start.behind_tls and site.scheme != "https":
            yield f"QW_SITE_URL is {start.site_url}, but QW_BEHIND_TLS serves https:// alone; mend one of them."
    for origin in start.origins:
        parts = urlsplit(origin)
        if start.behind_tls and parts.scheme != "https":
            yield f"QW_TRUSTED_ORIGINS names {origin}, not https://; whoever is on its network could post as others."
        elif not _is_allowed(str(parts.hostname).removeprefix("*"), start.hosts):
            yield f"QW_TRUSTED_ORIGINS lets {origin} post here, which QW_ALLOWED_HOSTS does not list; mend one of them."


def _is_allowed(name: str, hosts: list[str]) -> bool:
    from django.http.request import validate_host

    return validate_host(name.lower(), hosts) or (name.startswith(".") and name in hosts)


def _servers(start: Start) -> Iterator[str]:
    if start.is_sqlite and start.runner == "celery":
        yield "QW_RUNNER=celery shares jobs among machines, and SQLite cannot; set QW_DATABASE_URL to a PostgreSQL."
    database = start.database
    has_other_proof = {"passfile", "sslcert", "service"} & set(
        database.get("OPTIONS", {})
    ) or "PGPASSFILE" in os.environ
    host = str(database.get("HOST", ""))
    if not (
        start.is_sqlite or host.startswith("/") or is_loopback(host) or database.get("PASSWORD") or has_other_proof
    ):
        yield f"The database at {host} is asked without a password; set QW_DATABASE_PASSWORD (or …_FILE)."
    for name, address in start.redis.items():
        parts = urlsplit(address)
        if (
            parts.scheme.startswith(("redis", "sentinel"))
            and not is_loopback(parts.hostname or "")
            and not parts.password
        ):
            yield (
                f"{name} names a server at {parts.hostname} that asks for no password; whoever reaches it gives our "
                "workers orders. Set QW_BROKER_PASSWORD (or …_FILE)."
            )


def _passwords(start: Start) -> Iterator[str]:
    """Those that are given; where a server on this machine asks for none, none is needed."""
    how = "Take what `openssl rand -hex 32` prints, and tell the server too."
    for name, password in start.passwords.items():
        if password == _IN_A_FILE and name.endswith("_PASSWORD"):
            yield f"{name} says {_IN_A_FILE}, but no file is named; set {name}_FILE, as deploy/secrets.yml does."
        elif _PLACEHOLDER.search(password):
            yield f"{name} holds a password that is still a placeholder, which anybody can read up. {how}"
        elif len(password) < SHORTEST_PASSWORD:
            yield (
                f"{name} holds a password of {len(password)} characters, which can be guessed; it needs "
                f"{SHORTEST_PASSWORD}. {how}"
            )


def _in_the_clear(start: Start) -> Iterator[str]:
    """Other servers that would be told secrets and texts, or asked who somebody is, without TLS."""
    issuer, suggest, mail = urlsplit(start.issuer), urlsplit(start.suggest_url), start.mail_server
    if issuer.scheme == "http" and not is_loopback(issuer.hostname or ""):
        yield (
            f"QW_OIDC_ISSUER names {issuer.hostname} by http://; whoever is on the way there could sign in as anybody. "
            "Name it by https://."
        )
    name = suggest.hostname or ""
    if suggest.scheme == "http" and not is_loopback(name) and not (start.suggest_private and not _is_public(name)):
        private = "" if start.suggest_private else "; or, where it lies in a private network, set QW_SUGGEST_PRIVATE=1"
        yield (
            f"QW_SUGGEST_URL names {name} by http://; texts and the key would cross the network for everybody to read. "
            f"Name it by https://{private}."
        )
    has_tls = mail and (mail["EMAIL_USE_TLS"] or mail["EMAIL_USE_SSL"])
    if mail and mail["EMAIL_HOST_PASSWORD"] and not has_tls and not is_loopback(mail["EMAIL_HOST"]):
        yield (
            f"The mail server {mail['EMAIL_HOST']} would be sent its password without TLS, for everybody on the way to "
            "read. Write smtp:// or smtps:// in QW_EMAIL_URL, or starttls or tls in QW_EMAIL_SECURITY."
        )


def _is_public(name: str) -> bool:
    """Whether a name is an address that everybody can reach, written as such."""
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_global
    except ValueError:
        return False


def _processes(start: Start) -> Iterator[str]:
    if start.web_processes > 1 and not start.cache_url:
        yield (
            f"{start.web_processes} web processes would each count requests for themselves; set QW_CACHE_URL to a "
            "Redis that they share, or QW_WEB_PROCESSES to 1."
        )


def _files(start: Start) -> Iterator[str]:
    own = {"The secret": start.data_dir / "secret_key"} if not start.secret else {}
    for name, file in {**start.secret_files, **own}.items():
        if _CONTAINER_SECRETS in file.parents:
            continue
        try:
            is_open = file.stat().st_mode & 0o004
        except OSError:
            continue
        if is_open:
            yield f"{name} lies in {file}, which everybody on this machine can read; run: chmod 600 {file}"


def network_disk(path: Path, mounts: str = "/proc/self/mountinfo") -> str:
    """The kind of network disk that a path lies on; empty where it lies on none, or nobody can tell."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    for line in lines:
        before, _, after = line.partition(" - ")
        if len(before.split()) < 5 or not after:
            continue
        mounted = Path(before.split()[4].replace("\\040", " "))
        if (mounted == path or mounted in path.parents) and len(mounted.parts) >= longest:
            found, longest = after.split()[0], len(mounted.parts)
    return found if _NETWORK_DISKS.fullmatch(found) else ""
