"""`manage.py` with the fake pipeline, slowed down: `python -m tests.faults.worker run_job 3`."""

import functools
import os
import sys


def use_fake_pipeline() -> None:
    from compute import pipeline
    from tests.jobs import fake

    pause = float(os.environ.get("TEST_STEP_SECONDS", "0.2"))
    pipeline.plan = fake.plan
    pipeline.run_shard = functools.partial(fake.run_shard, pause=pause)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.faults.settings")
    import django

    django.setup()
    from compute.jobs import runner, signals

    use_fake_pipeline()
    signals.bundle_ready.receivers = []
    command = [sys.executable, "-m", "tests.faults.worker", "run_job", "--parent", str(os.getpid())]
    original = runner.Runner.__init__
    runner.Runner.__init__ = lambda self: original(self, command)
    from django.core.management import call_command

    call_command(*sys.argv[1:], skip_checks=True)


if __name__ == "__main__":
    main()
