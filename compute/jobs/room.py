"""The last of the disk is not for jobs: labels, sessions and a job's own failure must still fit beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.conf import settings

from compute.errors import StorageError


def refuse_when_full() -> None:
    """End the work while there is still room for the database.

    Raises
    ------
    StorageError
        When a disk that jobs write to has less room left than QW_RESERVE_MB.
    """
    for folder in {Path(settings.DATA_DIR), Path(settings.WORKSPACE_DIR), Path(settings.BUNDLE_DIR)}:
        try:
            free = shutil.disk_usage(folder).free
        except OSError:  # not there yet: whoever writes first makes it
            continue
        if free < settings.RESERVE_MB * 1_000_000:
            raise StorageError(
                f"The disk is full: {free / 1e6:,.0f} MB are left in {folder}, and {settings.RESERVE_MB} MB are kept "
                "for the database. Free some space and resume; what is done is kept."
            )
