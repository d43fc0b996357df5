import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from quantaweb import roles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
os.environ[roles.VARIABLE] = "web"
application = get_wsgi_application()

# What is imported lives as long as the process. Unless it is left out, every few requests a page waits 60 ms while
# the collector walks through all of it.
_ = get_resolver().url_patterns  # imports every view
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)
