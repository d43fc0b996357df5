"""What the laboratory's commands share: presets, where results go, progress, and the doing."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compute.bundle import open_bundle
from compute.cli import arguments as shared
from compute.labs.frame import Lab, plan, run_lab
from compute.labs.settings import LabConfig
from compute.progress import Progress

Show = Callable[[dict[str, Any], dict[str, Any]], None]  # prints what was found, and is given the settings too


def add_lab(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, lab: Lab, text: str,
    add_settings: Callable[[argparse.ArgumentParser], None], show: Show,
) -> None:  # fmt: skip
    """Add a command whose arguments are the lab's settings; what is not given is taken from a preset."""
    command = commands.add_parser(name, help=text, description=f"{text}; goes on where it was stopped.")
    keys = [one.key for one in lab.presets]
    command.add_argument(
        "--preset", choices=keys, default=keys[0], help=f"settings to begin with; the others change them ({keys[0]})"
    )
    command.add_argument("--name", help="of the bundle")
    add_settings(command)
    command.add_argument("--workspace", type=Path, metavar="DIR", help="what is done so far (OUT/.work/NAME)")
    shared.add_out(command, "folder that the bundle goes into")
    shared.add_device(command)
    command.set_defaults(do=lambda arguments: _do(arguments, lab, show))


def config_of(lab: Lab, arguments: argparse.Namespace) -> LabConfig:
    """The preset's settings, changed by those that were given."""
    preset: Any = next(one.config for one in lab.presets if one.key == arguments.preset)
    given = shared.given(arguments, [field.name for field in dataclasses.fields(preset)])
    changed: LabConfig = dataclasses.replace(preset, **given)
    return changed


def _do(arguments: argparse.Namespace, lab: Lab, show: Show) -> None:
    """Do the experiment, print what was found and where it lies."""
    config = config_of(lab, arguments)
    progress = Progress(plan(lab, config))
    workspace = arguments.workspace or arguments.out / ".work" / config.name
    try:
        path = run_lab(lab, config, workspace, arguments.out, report=progress, device=arguments.device)
    finally:
        progress.close()
    show(open_bundle(path).manifest["found"], config.to_json())
    print(path)
