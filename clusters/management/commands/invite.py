"""Print a link that lets one person make an account."""

import argparse

from django.conf import settings
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.urls import reverse

from clusters.services import invitations, people


class Command(BaseCommand):
    help = "Print an invitation: a link that works once, for seven days, and makes an account. QW_SIGNUP must allow it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--role", action="append", default=[], metavar="ROLE", help=", ".join(people.ALL_ROLES))
        parser.add_argument(
            "--email", default="", metavar="ADDRESS", help="whom it is for; mailed to if mail is set up"
        )
        here = settings.SITE_URL or f"http://127.0.0.1:{settings.PORT}"
        parser.add_argument("--base", default=here, metavar="URL", help=f"where the site is served (else {here})")

    def handle(self, *args: object, role: list[str], email: str, base: str, **options: object) -> None:
        try:
            if email:
                validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is no e-mail address. Give one like dora@example.org, or none.") from error
        try:
            invitation, secret = invitations.invite(people.first_admin(), email=email, roles=role)
        except (PermissionDenied, ValueError) as error:
            raise CommandError(str(error)) from error
        href = f"{base.rstrip('/')}{reverse('clusters:invitation', args=[secret])}"
        self.stdout.write(href)
        if email and not invitations.mail(invitation, href):
            self.stderr.write(f"It was not mailed to {email}: give them the link.")
