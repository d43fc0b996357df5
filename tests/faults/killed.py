"""Kills real work, again and again, at moments drawn by chance or at points that are named.

`python -m tests.faults.killed PLAN` with a plan in JSON. Everything that the work needs is imported once; each attempt
is a forked process, killed with SIGKILL. The phases that kills fell into are printed as JSON, one list.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

Work = Callable[[], object]
START = "start"
TOKENS_PER_SHARD = 10
_IMPORTS = (
    *("sklearn.cluster", "torch", "transformers", "umap", "compute.numerics.losses", "compute.numerics.spectral"),
    *("compute.numerics.vectors", "compute.numerics.loss_summary", "compute.pipeline", "compute.steps.blocks"),
    *("compute.steps.gradients", "compute.steps.losses", "compute.steps.run", "compute.steps.similarity"),
)  # what a step imports when it is first done
MARKS = {
    "ingest": {
        "clusters.ingest:check_clustered_files": "hashes",
        "clusters.ingest:check_bundle": "checks",
        "clusters.ingest:read_rows": "rows",
        "clusters.ingest:write_run": "writing",
        "clusters.services.verification:prepare": "preparing",
        "clusters.services.verification:_verify": "verifying",
    },
    "backup": {
        "clusters.services.backup:_save_database": "database",
        "clusters.services.backup_files:_stated": "files",
        "clusters.services.backup:_write": "manifest",
    },
    "restore": {
        "clusters.services.backup:check_objects": "checking",
        "clusters.services.backup:_load_database": "database",
        "clusters.services.backup:bring_back": "files",
        "clusters.services.backup:_counted": "counting",
    },
}  # function → the phase that begins with it


@dataclass
class Timeline:
    """Where the forked process is, seen by its parent: the place of a phase in `names`, in one shared byte."""

    names: list[str] = field(default_factory=lambda: [START])
    byte: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 1))

    def enter(self, phase: str) -> None:
        self.byte[0] = self.names.index(phase)

    @property
    def phase(self) -> str:
        return self.names[self.byte[0]]

    def mark(self, place: str, phase: Callable[..., str]) -> None:
        """Note the phase whenever the function at `module:name` is called."""
        owner, name, original = _found(place)

        @wraps(original)
        def marked(*args: Any, **given: Any) -> Any:
            self.enter(phase(*args, **given))
            return original(*args, **given)

        setattr(owner, name, marked)


def _found(place: str) -> tuple[Any, str, Any]:
    module, _, path = place.partition(":")
    *outer, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for part in outer:
        owner = getattr(owner, part)
    return owner, name, getattr(owner, name)


def make_steps_small() -> None:
    """Save after every piece, and have many pieces, so that there is something to go on with."""
    from compute import pipeline
    from compute.steps import gradients, losses, run, similarity

    run.SAVE_EVERY = 0.0
    losses.PREDICTIONS_PER_BLOCK = 300
    gradients.NUMBERS_PER_FILE = 14_256 * 2
    similarity.COLUMNS_PER_CHUNK = 512
    pipeline.TOKENS_PER_SHARD = TOKENS_PER_SHARD


def fork(work: Work) -> int:
    """The process id of a child that does the work and ends with status 0, or 1 after an exception."""
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(2, 1)
        work()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(child: int, *, seconds: float) -> int | None:
    """The status of a child that ends within so many seconds; None where it goes on."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.0005)
    return None


def wait(child: int) -> None:
    status = os.waitpid(child, 0)[1]
    if status != 0:
        raise SystemExit(f"The undisturbed work ended with status {status}.")


@dataclass
class Killer:
    """Kills one kind of work; every phase is aimed at in turn, the moment within it is drawn by chance."""

    work: Work
    again: Callable[[], None]  # makes the work start from its beginning
    time: Timeline
    rng: random.Random
    durations: dict[str, float] = field(default_factory=dict)
    hit: list[str] = field(default_factory=list)
    is_once: bool = False  # the work goes on over all kills: no phase comes back, and it may end early
    has_ended: bool = False
    is_done: Callable[[], bool] = lambda: False  # whether a kill came when all was done

    def measure(self) -> None:
        """Do the work once, undisturbed, and learn how long each phase takes."""
        self.time.enter(START)
        child, since, phase = fork(self.work), time.monotonic(), START
        while (status := ended(child, seconds=0.001)) is None:
            if self.time.phase != phase or phase == START:
                now = time.monotonic()
                self.durations[phase] = self.durations.get(phase, 0.0) + now - since
                since, phase = now, self.time.phase
        self.durations[phase] = self.durations.get(phase, 0.0) + time.monotonic() - since
        if status != 0:
            raise SystemExit(f"The undisturbed work ended with status {status}.")

    def kill(self, n: int, *, shuffled: bool = False, between: Callable[[], None] = lambda: None) -> None:
        """Kill it so often, phase by phase as they come, or as chance has it."""
        targets = [phase for phase in self.time.names if phase in self.durations]
        if shuffled:
            self.rng.shuffle(targets)
        while len(self.hit) < n and not self.has_ended:
            self._kill_in(targets[len(self.hit) % len(targets)])
            between()

    def _kill_in(self, target: str) -> None:
        self.time.enter(START)
        child = fork(self.work)
        while self.time.phase != target and not self._has_passed(target):
            if (status := ended(child, seconds=0.001)) is not None:
                return self._start_again(status)
        status = ended(child, seconds=self.rng.uniform(0, self.durations[target]))
        if status is not None:
            return self._start_again(status)
        os.kill(child, signal.SIGKILL)
        self.hit.append(self.time.phase)
        os.waitpid(child, 0)
        if self.is_done():
            self.again()
        return None

    def _has_passed(self, phase: str) -> bool:
        return self.is_once and self.time.names.index(self.time.phase) > self.time.names.index(phase)

    def _start_again(self, status: int) -> None:
        if status != 0:
            raise SystemExit(f"Work that was killed before ended with status {status}.")
        self.has_ended = self.is_once
        self.again()


def _command(plan: dict[str, Any], killer: Killer) -> None:
    """`python -m compute …`, in a folder of its own after it was measured."""
    from compute.cli import main

    folder = Path(plan["folder"])
    make_steps_small()

    def at(name: str) -> Work:
        def work() -> None:
            if code := main([*plan["arguments"], "--out", str(folder / name)]):
                raise SystemExit(code)

        return work

    killer.work = at("whole")
    killer.measure()
    killer.work, killer.again = at("killed"), lambda: shutil.rmtree(folder / "killed")
    killer.kill(plan["kills"])
    wait(fork(killer.work))


def _manage(plan: dict[str, Any], killer: Killer) -> None:
    """A command of the site; before it starts anew, the rows and folders that it made are removed."""
    import django

    django.setup()
    from django.core.management import call_command

    name, *arguments = plan["arguments"]
    for place, phase in MARKS[name].items():
        killer.time.names.append(phase)
        killer.time.mark(place, lambda *_, phase=phase, **__: phase)
    killer.work = lambda: call_command(name, *arguments)
    killer.again = lambda: wait(fork(lambda: _undo(plan)))
    if name == "restore":
        killer.is_done = lambda: os.waitpid(fork(_find_rows), 0)[1] == 0
    killer.measure()
    killer.again()
    killer.kill(plan["kills"], shuffled=True)
    wait(fork(killer.work))


def _find_rows() -> None:
    """Fails where a restore has written nothing, which it does in one transaction."""
    from clusters.models import Run

    Run.objects.order_by("pk")[:1].get()


def _undo(plan: dict[str, Any]) -> None:
    from django.core.management import call_command

    from clusters.models import Run

    if plan.get("forget_run"):
        Run.objects.filter(slug=plan["forget_run"]).delete()
    if plan.get("flush"):
        call_command("flush", interactive=False, verbosity=0, allow_cascade=True)  # tables of swapped models, too
    for folder in plan.get("remove", []):
        shutil.rmtree(folder, ignore_errors=True)


def _job(plan: dict[str, Any], killer: Killer) -> None:
    """A job of the site, worked on as the local runner's child does."""
    import django

    django.setup()
    from compute.jobs.run import run_job
    from compute.models import Job

    make_steps_small()
    killer.time.mark("compute.jobs.run:_work", lambda held, shard, *_: str(shard.phase))
    killer.work = lambda: run_job(plan["job"])
    phases = list(dict.fromkeys(Job.objects.get(pk=plan["job"]).shards.values_list("phase", flat=True)))
    killer.time.names += phases
    killer.durations = dict.fromkeys(phases, plan["seconds"])
    if "frozen" in plan:
        return _freeze_at(killer, plan)
    if points := plan.get("points"):
        killer.hit += [_kill_at(killer, *point) for point in points]
    else:
        killer.is_once = True
        killer.kill(plan["kills"], between=_sweep)
    wait(fork(killer.work))
    return None


def _in_peace(plan: dict[str, Any], killer: Killer) -> None:
    """The same run, by the same small steps, and nobody disturbs it."""
    from compute.config import RunConfig
    from compute.pipeline import run_qdg

    make_steps_small()
    folder = Path(plan["folder"])
    run_qdg(RunConfig.from_json(plan["config"]), folder / "work", folder)


def _sweep() -> None:
    from compute.jobs import sweep

    sweep.requeue_dead_here()


def _freeze_at(killer: Killer, plan: dict[str, Any]) -> None:
    """Have the work freeze at a point; another does the rest, the run is removed; then the first one wakes up."""
    from compute.jobs import sweep
    from compute.models import Shard

    child = _fork_to(killer, signal.SIGSTOP, *plan["frozen"])
    status = os.waitpid(child, os.WUNTRACED)[1]
    if not os.WIFSTOPPED(status):
        raise SystemExit(f"{plan['frozen']} was not reached: the work ended with status {status}.")
    Shard.objects.filter(state="running").update(lease_expires_at=sweep.after(-1))
    sweep.requeue(sweep.expired(), "its worker is frozen")
    wait(fork(killer.work))
    wait(fork(lambda: _undo({"forget_run": "tiny"})))
    Path(plan["before"]).write_text(json.dumps(_rows(), default=str))
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    Path(plan["after"]).write_text(json.dumps(_rows(), default=str))


def _rows() -> dict[str, list[dict[str, Any]]]:
    """Everything that a worker could have written, but for its log."""
    from clusters.models import Cluster, Run, Token
    from compute.models import Job, Shard

    return {model.__name__: list(model.objects.order_by("pk").values()) for model in (Job, Shard, Run, Token, Cluster)}


def _kill_at(killer: Killer, place: str, when: str, phase: str) -> str:
    """Have the work kill itself at a point in a phase; it must get there."""
    status = os.waitpid(_fork_to(killer, signal.SIGKILL, place, when, phase), 0)[1]
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise SystemExit(f"{place} was not reached in {phase}: the work ended with status {status}.")
    _sweep()
    return phase


def _fork_to(killer: Killer, number: int, place: str, when: str, phase: str) -> int:
    """The process id of work that sends itself a signal at a point in a phase."""
    owner, name, original = _found(place)

    @wraps(original)
    def deadly(*args: Any, **given: Any) -> Any:
        given_back = original(*args, **given) if when == "after" else None
        if killer.time.phase == phase:
            os.kill(os.getpid(), number)
        return given_back if when == "after" else original(*args, **given)

    setattr(owner, name, deadly)
    try:
        return fork(killer.work)
    finally:
        setattr(owner, name, original)


def main() -> None:
    plan = json.loads(sys.argv[1])
    for name in _IMPORTS if plan["kind"] != "manage" else ():
        importlib.import_module(name)
    killer = Killer(lambda: None, lambda: None, Timeline(), random.Random(plan["seed"]))
    if plan["kind"] == "command":
        from compute.pipeline import PHASES

        killer.time.names += PHASES
        killer.time.mark("compute.pipeline:run_shard", lambda config, spec, *_, **__: spec.phase)
    {"command": _command, "manage": _manage, "job": _job, "in peace": _in_peace}[plan["kind"]](plan, killer)
    print(json.dumps(killer.hit))


if __name__ == "__main__":
    main()
