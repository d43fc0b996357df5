"""The embedded demo: a corpus read from the running installation and a small suite trained on it.

- `corpus.build_corpus` reads the installation; `documents.demo_documents` gives one part of it, cached.
- `suite.demo_suite` lists the shipped networks and checks their files, without importing torch.
- `overlap.training_overlap` says how much of what was clustered stands in the training text.
- `python -m compute.demo.train` makes the suite again.
"""

from compute.demo.corpus import DemoCorpus, DemoDocument, build_corpus
from compute.demo.documents import demo_documents
from compute.demo.suite import DemoModel, DemoSuite, demo_suite

__all__ = [
    "DemoCorpus",
    "DemoDocument",
    "DemoModel",
    "DemoSuite",
    "build_corpus",
    "demo_documents",
    "demo_suite",
]
