"""Print a link that lets one person in, once."""

import argparse

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from clusters.services import people


class Command(BaseCommand):
    help = "Print a sign-in link that works once, for an hour. The first administrator is made if there is none."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", metavar="NAME", help="whom to let in; the first administrator if left out")
        parser.add_argument("--create", action="store_true", help="make the person if there is none of that name")
        parser.add_argument("--runner", action="store_true", help="let the person start jobs, too")
        here = f"http://127.0.0.1:{settings.PORT}"
        parser.add_argument(
            "--base", default=here, metavar="URL", help=f"where the site is served (else PORT decides: {here})"
        )

    def handle(self, *args: object, user: str | None, create: bool, runner: bool, base: str, **options: object) -> None:
        administrator = people.first_admin()
        person = administrator if user is None else get_user_model().objects.filter(username=user).first()
        if person is None and create:
            person = get_user_model().objects.create_user(str(user))
        if person is None or not person.is_active:
            known = ", ".join(get_user_model().objects.filter(is_active=True).values_list("username", flat=True))
            raise CommandError(f"There is nobody called {user!r}. Known: {known}. Add --create to make the person.")
        if runner:
            people.grant_role(administrator, person)
        path = reverse("clusters:sign-in-link", args=[people.make_sign_in_link(person)])
        self.stdout.write(f"{base.rstrip('/')}{path}")
