"""How files come in: one at a time, from people who may start runs, no longer than a corpus may be."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler


class CorpusUploadHandler(TemporaryFileUploadHandler):
    """Streams a file to disk; what it refuses is read no further and gets a sentence, `refusal_of(request)`."""

    n_bytes = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        user = getattr(self.request, "user", None)
        if user is None or not user.has_perm("compute.add_job"):
            self._refuse("Sending files needs the runner role.")
        super().new_file(*args, **kwargs)

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


def refusal_of(request: Any) -> str:
    """Why a file of this request was not taken; empty if none was refused."""
    return getattr(request, "upload_refusal", "")
