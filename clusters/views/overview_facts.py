"""What the overview says of a run in words: its lede, its mean loss, its provenance, how to cite it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from clusters.charts.numbers import bytes_text, compact, count, fixed, percent, short_hash
from clusters.models import Run
from clusters.queries import runs as queries
from clusters.stored.arrays import bundle_of
from clusters.stored.hashes import n_checked
from clusters.values.facts import FinalCheckpoint
from compute.errors import BundleError

AFFINITY_WORDS = {"signed": "1 − arccos(cos)/π, signed", "absolute": "from cosines of |g|, absolute"}
SCOPE_WORDS = {"default": "no embeddings, no norms", "as-published": "the parameters that the paper took"}


def lede(run: Run) -> str:
    """Two sentences of facts."""
    selection = run.manifest.get("selection", {})
    size = compact(run.checkpoint.n_non_embedding)
    threshold = selection.get("threshold_nats")
    sure = f" predicted below {threshold:g} nats" if threshold else ""
    ks = queries.ks_of(run, queries.default_affinity(run))
    groups = f" into {count(ks[0])} to {count(ks[-1])} clusters" if len(ks) > 1 else ""
    if not run.corpus.n_predictions:
        return (
            f"{count(run.n_tokens)} tokens that a network of {size} parameters{sure.replace('predicted', 'predicts')}, "
            f"grouped by the direction of their gradients{groups}. Their labels were read in, without the text."
        )
    return (
        f"Where does a network of {size} parameters, reading “{run.corpus.name}”, keep what it knows? "
        f"{count(run.n_tokens)} tokens{sure}, grouped by the direction of their gradients{groups}."
    )


def mean_loss_fact(run: Run, finals: Sequence[FinalCheckpoint]) -> dict[str, Any]:
    """The clustered network's mean loss, beside the smallest network's."""
    own = next((one.mean_loss_nats for one in finals if one.is_clustered), None)
    if own is None:
        own = queries.clustered_mean_loss(run)
    small = finals[0] if finals and not finals[0].is_clustered else None
    beside = f"{compact(small.n_non_embedding)} parameters: {fixed(small.mean_loss_nats)}" if small else ""
    return {"value": fixed(own), "beside": beside, "is_known": own is not None}


def provenance(run: Run) -> list[dict[str, str]]:
    """What was computed of what: name, value, a second line, whether that is a hash."""
    facts = [*_network(run), *_corpus(run), *_method(run), *_making(run)]
    return [fact for fact in facts if fact["value"]]


def _fact(name: str, value: str, more: str = "", *, code: bool = False, href: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "more": more, "is_code": code, "href": href}


def _network(run: Run) -> list[dict[str, Any]]:
    clustered = run.manifest.get("clustered", {})
    n_gradient = clustered.get("n_gradient")
    scope = SCOPE_WORDS.get(clustered.get("scope", ""), clustered.get("scope", ""))
    own = (clustered.get("lm"), clustered.get("revision"))
    entries = run.manifest.get("checkpoints", [])
    hub = next((e.get("hub") for e in entries if (e.get("lm"), e.get("revision")) == own), None) or {}
    source = f"{hub.get('id', '')} at {str(hub.get('commit', ''))[:12]}" if hub.get("id") else ""
    return [
        _fact("network", f"{run.checkpoint.suite}: {run.checkpoint.lm}", run.checkpoint.revision, code=True),
        _fact("from the Hub", source, code=True),
        _fact("gradient of", f"{count(n_gradient)} parameters" if n_gradient else "", scope),
    ]


def _corpus(run: Run) -> list[dict[str, Any]]:
    text = f"{count(run.corpus.n_documents)} documents, {count(run.corpus.n_predictions)} predictions"
    overlap = run.manifest.get("overlap") or {}
    share = overlap.get("share")
    seen = f"{percent(share)} of the clustered tokens, with the 16 before them" if share is not None else ""
    return [
        _fact("corpus", run.corpus.name, f"sha256 {short_hash(run.corpus.sha256)}", code=True),
        _fact("text", text if run.corpus.n_documents else ""),
        _fact("in training text", seen),
    ]


def _method(run: Run) -> list[dict[str, Any]]:
    selection, asked = run.manifest.get("selection", {}), run.manifest.get("config", {})
    threshold, n_induced = selection.get("threshold_nats"), selection.get("n_induced")
    rule = f"loss < {threshold:g} nats, trigram not seen before" if threshold else ""
    if not asked.get("selection", {}).get("exclude_induced", True):
        rule = f"loss < {threshold:g} nats" if threshold else ""
    stride = selection.get("stride")
    more = [f"one of {count(stride)} candidates" if stride and stride > 1 else "",
            f"{count(n_induced)} induced left out" if n_induced else ""]  # fmt: skip
    ladders = {tuple(queries.ks_of(run, affinity)) for affinity in queries.affinities_of(run)}
    return [
        _fact("selection", rule, ", ".join(filter(None, more))),
        _fact("compared", *_comparison(run)),
        _fact("affinity", "; ".join(AFFINITY_WORDS.get(a, a) for a in queries.affinities_of(run))),
        _fact("k", "; ".join(", ".join(map(count, ladder)) for ladder in sorted(ladders))),
        _fact("seed", str(asked.get("clustering", {}).get("seed", ""))),
    ]


def _comparison(run: Run) -> tuple[str, str]:
    """What was compared and how exactly."""
    facts = run.manifest.get("similarity") or {}
    vectors = str(facts.get("vectors", "gradients"))
    if facts.get("mode") != "sketch":
        return (f"{vectors}, exactly" if facts else "", "")
    refined = facts.get("refine")
    rms, largest = (facts.get(name) for name in ("rms", "largest"))
    errors = f"cosines within {rms:.3f} (root mean square), {largest:.3f} at most" if rms and largest else ""
    nearest = f"the {count(refined)} nearest of each exactly" if refined else ""
    return f"{vectors}, by sketches of {count(facts.get('sketch_size'))} numbers", "; ".join(
        filter(None, (errors, nearest))
    )


def _making(run: Run) -> list[dict[str, Any]]:
    made = run.provenance or {}
    seconds = sum(value for value in (made.get("seconds") or {}).values() if isinstance(value, (int, float)))
    job = f"job {run.job_id}" if run.job_id else "a bundle read in"
    torch = (made.get("libraries") or {}).get("torch")
    return [
        _fact("bundle", bytes_text(run.n_bytes), f"sha256 {short_hash(run.bundle_sha256)}", code=True),
        _fact("files", *_wholeness(run)),
        _fact("code", code_version(run), f"torch {torch}" if torch else "", code=True),
        _fact("made by", job + (f", {duration(seconds)}" if seconds else ""), finished(run)),
    ]


def _wholeness(run: Run) -> tuple[str, str]:
    """Whether the bundle's files are what their hashes say, and how far the check is."""
    if run.damage:
        return "damaged", run.damage
    if run.verified_at:
        return f"verified on {moment(run.verified_at)}", "every file is as its hash says"
    try:
        n_files = len(bundle_of(run).hashes)
    except BundleError as error:
        return "cannot be opened", str(error)
    return f"verifying, {count(n_checked(run))} of {count(n_files)} files", "the run can be read meanwhile"


def code_version(run: Run) -> str:
    """The commit that computed the run, and whether it had been changed."""
    code = str((run.provenance or {}).get("code") or "")
    commit = code.removesuffix("-dirty")
    if not commit:
        return ""
    return f"{commit}, modified" if commit != code else commit


def finished(run: Run) -> str:
    """When the computing ended, as people write it; empty where nobody knows."""
    text = str((run.provenance or {}).get("finished") or "")
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return moment(at)


def moment(at: datetime) -> str:
    """A time as people write it."""
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def citation(run: Run, address: str) -> str:
    """A line that a paper can take over."""
    commit = str((run.provenance or {}).get("code") or "")
    version = f", QuantaWeb {commit}" if commit else ", QuantaWeb"
    return (
        f"QDG clusters “{run.name}” of {run.checkpoint.lm} ({run.checkpoint.revision}) on {run.corpus.name}, "
        f"{count(run.n_tokens)} tokens{version}, bundle sha256 {run.bundle_sha256}. {address} "
        "Method: Michaud, Liu, Girit, Tegmark, The Quantization Model of Neural Scaling, arXiv:2303.13506 (2023)."
    )
