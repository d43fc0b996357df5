#!/usr/bin/env python
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantaweb.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"QuantaWeb cannot start: {error}")
    except DatabaseError as error:
        if "--traceback" in sys.argv or not (sentence := _why_not(error)):
            raise
        sys.exit(sentence)


def _why_not(error: Exception) -> str:
    """What keeps the database from being used; empty where it is a mistake of ours."""
    from clusters.views.outage import UPGRADING, outage_of

    outage = outage_of(error)
    if outage is UPGRADING:
        return "The database lacks tables of this release; `python manage.py migrate` makes them. Then try again."
    reason = str(error).strip().partition("\n")[0]
    return f"{outage.title} ({reason}). `python manage.py doctor` looks for the reason." if outage else ""


if __name__ == "__main__":
    main()
