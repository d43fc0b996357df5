"""What somebody sends is read whole under the limits for strangers before it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compute.config import CorpusConfig
from compute.errors import CorpusError
from compute.texts.documents import ContentHash
from compute.texts.files import path_texts
from compute.texts.limits import UPLOAD, Meter


@dataclass(frozen=True)
class UploadFacts:
    """What a file holds."""

    n_documents: int
    n_bytes: int  # decoded
    sha256: str  # over the texts, as a run of all of them states it


def check_upload(path: Path, *, text_field: str = "text") -> UploadFacts:
    """Go through every document of one file, a few megabytes at a time.

    Raises
    ------
    CorpusError
        If a line or row is no document, or the file grows beyond the limits for uploads; the first of these counts.
    """
    if not path.is_file():
        raise CorpusError(f"{path} is no file. Send one file of JSON lines or Parquet.")
    texts = path_texts(CorpusConfig(source=str(path), text_field=text_field))
    meter, content, n_documents = Meter(UPLOAD), ContentHash(), 0
    for document in texts.documents(meter=meter):
        content.add(document.text)
        n_documents += 1
    return UploadFacts(n_documents, meter.n_decoded, content.hexdigest())
