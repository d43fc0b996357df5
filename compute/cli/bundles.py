"""Commands that read a bundle, and one that makes a bundle of published labels."""

from __future__ import annotations

import argparse
from pathlib import Path

from compute.bundle import open_bundle
from compute.cli.arguments import add_out
from compute.published import Told, build_bundle


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, do, text in (("verify", verify, "recompute every hash of a bundle"), ("info", info, "show a bundle")):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("bundle", type=Path, metavar="BUNDLE")
        command.set_defaults(do=do)
    text = "make a bundle of published cluster labels"
    command = commands.add_parser("import-published", help=text, description=text)
    command.add_argument("labels", type=Path, metavar="FILE", help='JSON: {"400": [labels, labels_abs], …}')
    contexts = 'JSON: {flat index: {"context": [tokens], "answer": token}, …}'
    command.add_argument("--contexts", type=Path, metavar="FILE", help=contexts)
    command.add_argument("--name", default=Told.name, help=f"what the bundle is called ({Told.name})")
    add_out(command, "the folder that the bundle is written to")
    command.set_defaults(do=import_published)


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
    vectors = f", vectors of {clustered['n_gradient']:,} numbers" if "n_gradient" in clustered else ""
    of = f" of {chosen['n_candidates']:,}" if "n_candidates" in chosen else ""
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
        "clustered": f"{clustered['lm']} {clustered['revision']}{vectors}",
        "compared": how,
        "tokens": f"{chosen['n_selected']:,}{of} below {chosen['threshold_nats']} nats",
        **{
            f"k, {affinity}": ", ".join(str(c["k"]) for c in facts["clusterings"] if c["affinity"] == affinity)
            for affinity in dict.fromkeys(c["affinity"] for c in facts["clusterings"])
        },
        "size": f"{bundle.n_bytes / 1e6:,.1f} MB",
    }
    for name, value in rows.items():
        print(f"{name:<12} {value}")


def import_published(arguments: argparse.Namespace) -> None:
    """Make a bundle of published labels."""
    print(build_bundle(arguments.labels, arguments.contexts, arguments.out, told=Told(name=arguments.name)))
