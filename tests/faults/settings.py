"""The project's settings without what workers never touch, so that the processes of the fault tests start fast."""

from quantaweb.settings import *  # noqa: F403

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "compute"]
