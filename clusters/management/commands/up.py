"""Serve the site from this machine, together with the job runner."""

import argparse
import sys

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from clusters.embedded import supervisor
from clusters.embedded.startup import migrate, require_data_folder
from clusters.services import people
from clusters.services.bundles import restore_kept
from compute.errors import ComputeError


class Command(BaseCommand):
    help = "Serve the site with its job runner until Ctrl-C. Prints the address and a one-time sign-in link."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=None, help="8000, or what the environment's PORT says")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine only)")

    def handle(self, *args: object, port: int | None, host: str, **options: object) -> None:
        port = settings.PORT if port is None else port
        try:
            supervisor.require_private_or_guarded(host)
            supervisor.require_free_port(host, port)
            require_data_folder()
        except (ComputeError, supervisor.StartError) as error:
            raise CommandError(str(error)) from error
        migrate()
        restore_kept(0)  # nobody else is at work here
        services = [supervisor.web_service(host, port), supervisor.runner_service()]
        site = supervisor.Supervisor(services, self._say)
        status = site.run(on_started=lambda: self._announce(site, host, port))
        if status:
            sys.exit(status)

    def _announce(self, site: supervisor.Supervisor, host: str, port: int) -> None:
        if not supervisor.wait_until_answering(host, port, lambda: site.is_asked_to_stop or site.has_fallen):
            if not site.is_asked_to_stop:
                self._say("The web server does not answer yet; its messages above may say why.")
            return
        base = f"http://{'localhost' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
        link = reverse("clusters:sign-in-link", args=[people.make_sign_in_link(people.first_admin())])
        self._say(f"QuantaWeb is at {base}/")
        self._say(f"To sign in as administrator, once and within the hour: {base}{link}")
        self._say("Ctrl-C stops it.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
