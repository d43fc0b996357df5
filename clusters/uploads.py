"""How files come in: from people who may bring them, no longer than a file may be, straight to the disk."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler

RUNNER, LABELER = "compute.add_job", "clusters.add_label"
RIGHTS = {"/imports/": (RUNNER, LABELER)}  # by the beginning of the address; elsewhere only runners may


class CorpusUploadHandler(TemporaryFileUploadHandler):
    """Streams files to disk; what it refuses is read no further and gets a sentence, `refusal_of(request)`."""

    n_bytes = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if not self.is_allowed():
            self._refuse("Sending files needs the runner role; labels, the labeler role.")
        super().new_file(*args, **kwargs)

    def is_allowed(self) -> bool:
        user = getattr(self.request, "user", None)
        path = getattr(self.request, "path", "")
        rights = next((rights for start, rights in RIGHTS.items() if path.startswith(start)), (RUNNER,))
        return user is not None and any(map(user.has_perm, rights))

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.n_bytes += len(raw_data)
        if self.n_bytes > settings.UPLOAD_BYTES:
            self._refuse(
                f"The file is larger than {settings.UPLOAD_BYTES // 10**6} MB. Compress it, cut it, or have it put "
                "on the server and register its path."
            )
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            self._refuse(f"The file could not be kept ({error.strerror}). Tell whoever runs this site.")

    def _refuse(self, sentence: str) -> None:
        if self.request is not None:
            self.request.upload_refusal = sentence  # type: ignore[attr-defined]
        raise StopUpload(connection_reset=True)


class ApiUploadHandler(CorpusUploadHandler):
    """The same for the API, which has asked who it is before it reads a body."""

    def is_allowed(self) -> bool:
        return True


def refusal_of(request: Any) -> str:
    """Why a file of this request was not taken; empty if none was refused."""
    return getattr(request, "upload_refusal", "")
