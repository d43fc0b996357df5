"""A worker on a host of its own: works on a job until that is closed, a little slowly, so that others get their share.

`python -m tests.store.host JOB PLACE`: says in PLACE that it is ready, and waits there for the word to go.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

PAUSE = 0.4  # seconds before each shard


def main(job_id: int, place: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
    import django

    django.setup()
    import torch  # noqa: F401  (before the start, so that both begin at once)

    from compute import pipeline
    from compute.jobs.run import run_job
    from compute.models import Job

    original = pipeline.run_shard

    def slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(PAUSE)
        return original(*args, **kwargs)

    pipeline.run_shard = slowly
    (place / f"ready-{os.getpid()}").touch()
    while not (place / "go").exists():
        time.sleep(0.05)
    while Job.objects.get(pk=job_id).is_open:
        run_job(job_id)
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
