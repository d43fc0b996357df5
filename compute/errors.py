"""Exceptions of the computing side: each message says what is wrong and what a person can do."""


class ComputeError(Exception):
    """Base of every failure that a person can cause or mend."""


class ConfigError(ComputeError, ValueError):
    """What was asked for contradicts itself or lies outside what is allowed."""


class CorpusError(ComputeError):
    """The text cannot be read or holds nothing to predict."""


class CheckpointError(ComputeError):
    """Weights are missing, damaged, or give losses that are no numbers."""


class SelectionError(ComputeError):
    """Too few tokens pass the filters."""


class GradientError(ComputeError):
    """A gradient is not a number, or too many of them vanish."""


class SimilarityError(ComputeError):
    """Similarities cannot be computed from these rows."""


class ClusteringError(ComputeError):
    """An affinity cannot be clustered at the k asked for."""


class FitError(ComputeError, ValueError):
    """Too few or unsuitable points for the fit asked for."""


class TrainingError(ComputeError):
    """The training of a small network diverged: its loss is no number any more."""


class BundleError(ComputeError):
    """A bundle is incomplete, altered, or of an unknown format."""


class StorageError(ComputeError):
    """The disk is full or a folder cannot be written."""


class BeingPrepared(ComputeError):  # noqa: N818  (a matter of time, not an error)
    """Something is worked out by somebody else right now; it will be there soon."""


class Cancelled(ComputeError):  # noqa: N818  (a request, not an error)
    """A person asked for the work to stop; what is done is kept."""
