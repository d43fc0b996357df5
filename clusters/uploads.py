"""How files come in: from people who may bring them, no longer than a file may be, straight to the disk."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler

from clusters.forms.label_file import MAX_BYTES as LABEL_BYTES

RUNNER, LABELER = "compute.add_job", "clusters.add_label"
RIGHTS = {"/imports/": (RUNNER, LABELER), "/api/v1/imports/": (RUNNER, LABELER)}  # elsewhere only runners may
FILES = 2  # in one request, at most: labels and contexts of published clusters
FRAME_BYTES = 1_000_000  # of fields and headers around them


class CorpusUploadHandler(TemporaryFileUploadHandler):
    """Streams files to disk; what it refuses is read no further and gets a sentence, `refusal_of(request)`."""

    n_bytes = 0
    n_announced = 0
    most = 0

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:
        self.n_announced = content_length

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Called when a file begins, before its first byte is read."""
        if not may_bring(self.request):
            self._refuse("Sending files needs the runner role; labels, the labeler role.")
        self.most = most_bytes(self.request)
        if self.n_announced > FILES * self.most + FRAME_BYTES:
            self._refuse(_too_large(self.most))
        super().new_file(*args, **kwargs)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.n_bytes += len(raw_data)
        if self.n_bytes > self.most:
            self._refuse(_too_large(self.most))
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            self._refuse(f"The file could not be kept ({error.strerror}). Tell whoever runs this site.")

    def _refuse(self, sentence: str) -> None:
        if self.request is not None:
            self.request.upload_refusal = sentence  # type: ignore[attr-defined]
        raise StopUpload(connection_reset=True)


def may_bring(request: Any) -> bool:
    """Whether whoever asks may send files to this address."""
    user, path = getattr(request, "user", None), getattr(request, "path", "")
    rights = next((rights for start, rights in RIGHTS.items() if path.startswith(start)), (RUNNER,))
    return user is not None and any(map(user.has_perm, rights))


def most_bytes(request: Any) -> int:
    """What one file of whoever asks may hold: who may bring labels alone sends no more than labels take."""
    return int(settings.UPLOAD_BYTES) if request.user.has_perm(RUNNER) else LABEL_BYTES


def _too_large(most: int) -> str:
    if most == LABEL_BYTES:
        return f"The file is larger than {most // 10**6} MB, as labels never are; larger ones need the runner role."
    return (
        f"The file is larger than {most // 10**6} MB. Compress it, cut it, or have it put "
        "on the server and register its path."
    )


def refusal_of(request: Any) -> str:
    """Why a file of this request was not taken; empty if none was refused."""
    return getattr(request, "upload_refusal", "")
