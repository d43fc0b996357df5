"""What can be said of our dependencies: known holes where their index can be asked, and what can be seen here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints.txt"
TOOLS = {"pip", "setuptools", "wheel"}
OLD_DAYS = 365


def main() -> int:
    asked = known_holes()
    if asked is None:
        print("The index of known holes could not be asked; nothing is said about them. What can be seen here:")
    else:
        print(f"{asked[0]} distributions were looked up; known holes: {len(asked[1])}", *asked[1], sep="\n")
    problems = [*unpinned(), *disagreements()]
    print("\n".join([*problems, *notes()]))
    return 1 if problems or (asked and asked[1]) else 0


def known_holes() -> tuple[int, list[str]] | None:
    """How many distributions pip-audit found in its index, and what is wrong with them; None where it knew nearly none.

    An index that answers, but knows next to nothing of what everybody uses, is a mirror without that service.
    """
    command = [sys.executable, "-m", "pip_audit", "--local", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, "--timeout", "10"], capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    known = [one for one in found if "vulns" in one]
    if len(known) < len(found) / 2:
        return None
    holes = [f"{one['name']} {one['version']}: {hole['id']}" for one in known for hole in one["vulns"]]
    return len(known), holes


def pins() -> dict[str, str]:
    """Versions by normalised name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", PINS.read_text(encoding="utf-8"), re.MULTILINE)
    return {normal(name): version for name, version in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, Distribution]:
    return {normal(one.metadata["Name"]): one for one in distributions() if one.metadata["Name"]}


def unpinned() -> list[str]:
    """Distributions that another machine might get in another version."""
    wanted = pins()
    found = {name: one.version.partition("+")[0] for name, one in installed().items() if name not in TOOLS}
    missing = [f"{name} {version} is not pinned" for name, version in found.items() if name not in wanted]
    others = [
        f"{name} is {version}, pinned at {wanted[name]}"
        for name, version in found.items()
        if name in wanted and wanted[name].partition("+")[0] != version
    ]
    return sorted(missing + others)


def disagreements() -> list[str]:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    return [] if done.returncode == 0 else done.stdout.splitlines()


def notes() -> list[str]:
    """What is worth knowing and wrong of itself: no licence, or pins that nobody has looked at for a year."""
    bare = [
        name
        for name, one in sorted(installed().items())
        if not (one.metadata.get("License") or one.metadata.get("License-Expression"))
        and not any("License" in line for line in one.metadata.get_all("Classifier") or [])
    ]
    said = [f"no licence is named by: {', '.join(bare)}"] if bare else []
    asked = subprocess.run(
        ["git", "log", "-1", "--format=%ct", "--", PINS.name], cwd=ROOT, capture_output=True, text=True
    )
    changed = int(asked.stdout) if asked.stdout.strip().isdecimal() else PINS.stat().st_mtime
    days = (time.time() - changed) / 86_400
    return [
        *said,
        f"{len(pins())} pins, last changed {days:.0f} days ago{' — look at them' if days > OLD_DAYS else ''}",
    ]


if __name__ == "__main__":
    sys.exit(main())
