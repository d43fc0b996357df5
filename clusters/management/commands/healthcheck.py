"""Whether the process of this container does its work: for a container's health check, not for people."""

import argparse
import http.client
import time
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

SLACK_SECONDS = 15  # beyond three heartbeats


class Command(BaseCommand):
    help = "Say whether the web server here is ready, or with --worker, whether the worker here is alive."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--worker", action="store_true", help="look at the file that a worker touches")
        parser.add_argument("--port", type=int, default=settings.PORT, help=f"of the web server ({settings.PORT})")

    def handle(self, *args: object, worker: bool, port: int, **options: object) -> None:
        self.stdout.write(_worker() if worker else _web(port))


def _worker() -> str:
    """How long ago the worker gave its sign of life; three missed ones are too many."""
    if not settings.ALIVE_FILE:
        raise CommandError("QW_ALIVE_FILE names no file that the worker touches; set it, to /tmp/alive, say.")
    try:
        age = time.time() - Path(settings.ALIVE_FILE).stat().st_mtime
    except OSError as error:
        raise CommandError(f"The worker has not touched {settings.ALIVE_FILE} yet ({error.strerror}).") from error
    allowed = 3 * settings.HEARTBEAT_SECONDS + SLACK_SECONDS
    if age > allowed:
        raise CommandError(f"The worker's last sign of life is {age:.0f} s old; {allowed} s are allowed.")
    return f"alive {max(age, 0):.0f} s ago"


def _web(port: int) -> str:
    """Ask this machine's web server what /readyz says, as the proxy would ask it."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    headers = {"Host": _host()} | ({"X-Forwarded-Proto": "https"} if settings.BEHIND_TLS else {})
    try:
        link.request("GET", "/readyz", headers=headers)
        answer = link.getresponse()
        said = answer.read(4000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"The web server at port {port} does not answer ({type(error).__name__}).") from error
    finally:
        link.close()
    if answer.status != http.client.OK:
        raise CommandError(f"The web server is not ready ({answer.status}): {said}")
    return said


def _host() -> str:
    """A name that the site answers to; a leading dot stands for every name below it."""
    names = [name.lstrip(".") for name in settings.ALLOWED_HOSTS if name.strip(".*")]
    return names[0] if names else "localhost"
