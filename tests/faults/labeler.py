"""A person who writes labels while others are killed: `python -m tests.faults.labeler RUN FILE`.

What was saved is written to the file, one name a line, after the database has taken it.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import count
from pathlib import Path


def main() -> None:
    import django

    django.setup()
    from django.contrib.auth.models import User

    from clusters.models import Cluster
    from clusters.services.labels import Content, save_label

    slug, file = sys.argv[1], Path(sys.argv[2])
    person = User.objects.get(username="labeler")
    clusters = list(Cluster.objects.filter(clustering__run__slug=slug).order_by("pk")[:5])
    versions = dict.fromkeys(range(len(clusters)), 0)
    with file.open("a") as saved:
        for n in count():
            place = n % len(clusters)
            content = Content(name=f"word {os.getpid()} {n}")
            versions[place] = save_label(person, clusters[place], content, version=versions[place], submit=True).version
            saved.write(f"{content.name}\n")
            saved.flush()
            time.sleep(0.1)


if __name__ == "__main__":
    main()
