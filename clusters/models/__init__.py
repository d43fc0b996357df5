"""Rows: what a bundle became, and what people add to it."""

from clusters.models.collections import Collection, CollectionItem, Comment
from clusters.models.exchange import Export, IdempotentRequest, Import
from clusters.models.experiments import Experiment, Study
from clusters.models.labeling import Assignment, Queue, QueueItem, QuizQuestion
from clusters.models.labels import (
    Label,
    LabelRevision,
    LabelSuggestion,
    MachineAnswer,
    Revision,
    Tag,
    TokenNote,
    TokenNoteRevision,
)
from clusters.models.people import ApiKey, AuditEvent, Invitation, Notice, Profile, SignInLink
from clusters.models.runs import (
    Affinity,
    Checkpoint,
    Cluster,
    Clustering,
    Corpus,
    Membership,
    RegisteredCorpus,
    Run,
    RunCheckpoint,
    Token,
)

__all__ = [
    "Affinity",
    "ApiKey",
    "Assignment",
    "AuditEvent",
    "Checkpoint",
    "Cluster",
    "Clustering",
    "Collection",
    "CollectionItem",
    "Comment",
    "Corpus",
    "Experiment",
    "Export",
    "IdempotentRequest",
    "Import",
    "Invitation",
    "Label",
    "LabelRevision",
    "LabelSuggestion",
    "MachineAnswer",
    "Membership",
    "Notice",
    "Profile",
    "Queue",
    "QueueItem",
    "QuizQuestion",
    "RegisteredCorpus",
    "Revision",
    "Run",
    "RunCheckpoint",
    "SignInLink",
    "Study",
    "Tag",
    "Token",
    "TokenNote",
    "TokenNoteRevision",
]
