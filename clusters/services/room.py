"""What people send leaves the last of the disk to the database, as jobs do."""

from __future__ import annotations

import shutil

from django.conf import settings

from compute.errors import StorageError


def require_room(n_bytes: int) -> None:
    """Refuse what the data folder's disk cannot take beside QW_RESERVE_MB; a file is asked about before it is kept.

    Raises
    ------
    StorageError
        If less would be left.
    """
    try:
        free = shutil.disk_usage(settings.DATA_DIR).free
    except OSError:  # not there yet: whoever writes first makes it
        return
    if free - n_bytes < settings.RESERVE_MB * 1_000_000:
        raise StorageError("There is no room for further files: the disk is nearly full. Tell whoever runs this site.")
