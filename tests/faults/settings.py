"""The project's settings without what workers never touch, so that the processes of the fault tests start fast."""

from quantaweb.settings import *  # noqa: F403

INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "compute"]
ROOT_URLCONF = __name__
TEMPLATES = []
MIDDLEWARE = []
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
urlpatterns = []
