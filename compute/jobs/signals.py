"""What jobs tell the rest of the site, without knowing it."""

from django.dispatch import Signal

# A bundle is whole on disk. Arguments: job (compute.models.Job), path (pathlib.Path), hold (called last in a
# receiver's transaction, it raises where the worker's lease has passed to another, which undoes the transaction).
# It may be sent twice for one bundle, when a worker is lost in between: receivers are idempotent.
bundle_ready = Signal()

# The runner has looked after what others left behind, and has nothing against some more of it. No arguments.
swept = Signal()

# A job has ended: it succeeded, failed or was cancelled. Arguments: job (compute.models.Job, as it stands now). Sent
# inside the transaction that ends it, once an end; a receiver that breaks is logged and breaks nothing.
job_ended = Signal()

# A person asked something of a job. Arguments: job, action ("start", "cancel", "resume", "take-over"), user (or None).
# Sent inside the transaction that does it.
job_steered = Signal()
