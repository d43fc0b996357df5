"""The local runner: starts queued jobs, one child process each; with QW_RUNNER=celery it only sweeps."""

import signal

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Watch the database for jobs and start each in a child process; sweep what lost workers leave behind."

    def handle(self, *args: object, **options: object) -> None:
        from compute.jobs.runner import Runner

        runner = Runner()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, runner.ask_to_stop)
        runner.run()
