"""Commands that read a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from compute.bundle import open_bundle


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, do, text in (("verify", verify, "recompute every hash of a bundle"), ("info", info, "show a bundle")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("bundle", type=Path, metavar="BUNDLE")
        command.set_defaults(do=do)


def verify(arguments: argparse.Namespace) -> None:
    """Recompute every hash of a bundle."""
    bundle = open_bundle(arguments.bundle)
    bundle.verify()
    print(f"{arguments.bundle} is whole: {len(bundle.manifest['arrays'])} arrays, sha256 {bundle.sha256}.")


def info(arguments: argparse.Namespace) -> None:
    """Say what a bundle holds."""
    bundle = open_bundle(arguments.bundle)
    facts = bundle.manifest
    corpus, chosen, clustered = facts["corpus"], facts["selection"], facts["clustered"]
    compared = facts.get("similarity", {"vectors": "gradients", "mode": "exact"})
    how = f"{compared['vectors']}, {compared['mode']}"
    if compared["mode"] == "sketch":
        how += f" of {compared['sketch_size']:,} numbers: cosines within {compared['largest']:.3f}"
    rows = {
        "name": facts["name"],
        "sha256": bundle.sha256,
        "finished": bundle.run.get("finished", "unknown"),
        "corpus": f"{corpus['name']}: {corpus['n_documents']:,} documents, {corpus['n_predictions']:,} predictions",
        "checkpoints": f"{len(facts['checkpoints'])} of {len(facts['sizes'])} sizes",
        "clustered": f"{clustered['lm']} {clustered['revision']}, vectors of {clustered['n_gradient']:,} numbers",
        "compared": how,
        "tokens": f"{chosen['n_selected']:,} of {chosen['n_candidates']:,} below {chosen['threshold_nats']} nats",
        **{
            f"k, {affinity}": ", ".join(str(c["k"]) for c in facts["clusterings"] if c["affinity"] == affinity)
            for affinity in dict.fromkeys(c["affinity"] for c in facts["clusterings"])
        },
        "size": f"{bundle.n_bytes / 1e6:,.1f} MB",
    }
    for name, value in rows.items():
        print(f"{name:<12} {value}")
