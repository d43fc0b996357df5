"""The Celery app: started by a worker, idle in the embedded server."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
app = Celery("quantaweb")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
