"""Compute the demo run and read it in; what is done already is never done again."""

import signal
import time
from typing import NoReturn, TextIO, cast

from django.core.management.base import BaseCommand, CommandError

from clusters.embedded import demo
from clusters.embedded.startup import file_lock, migrate, require_data_folder
from clusters.embedded.terminal import clock
from compute.errors import ComputeError

INTERRUPTED = 130


class Command(BaseCommand):
    help = "Compute the demo run, unless it is there. Stopped and run again, it goes on where it was."

    def handle(self, *args: object, **options: object) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            self._make()
        except KeyboardInterrupt:
            raise CommandError(
                "Stopped. What is done is kept: run the same command again to go on.", returncode=INTERRUPTED
            ) from None
        except (ComputeError, demo.DemoError) as error:
            raise CommandError(str(error)) from error

    def _make(self) -> None:
        began = time.monotonic()
        require_data_folder()
        with file_lock("demo", lambda: self._say("Another process is making the demo run; waiting for it.")):
            migrate()
            run, is_new = demo.make_demo_run(demo.default_config(), self._say, cast(TextIO, self.stderr._out))
        if is_new:
            if queued := demo.queue_experiment():
                self._say(f"“{queued.name}” is computed when the site is served: {queued.get_absolute_url()}")
            self._say(f"The demo run is ready after {clock(time.monotonic() - began)}: /runs/{run.slug}/")
        else:
            self._say(f"The demo run is there already: /runs/{run.slug}/")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
