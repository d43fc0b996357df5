"""What jobs tell the rest of the site, without knowing it."""

from django.dispatch import Signal

# A bundle is whole on disk. Arguments: job (compute.models.Job), path (pathlib.Path).
# It may be sent twice for one bundle, when a worker is lost in between: receivers are idempotent.
bundle_ready = Signal()

# The runner has looked after what others left behind, and has nothing against some more of it. No arguments.
swept = Signal()
