"""The crowd: Locust in one process, gevent in it alone. Says in a line of JSON what it saw of every stage.

python -m benchmarks.load.crowd FACTS ORDERS WRITTEN
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, between, task  # patches sockets, so before whatever opens one
from locust.env import Environment

SHARES = {"page": 70, "API": 15, "PATCH": 10, "search": 3, "export": 2}
WORDS = ("the", "and", "re", "er", "st", "return", "with", "in", "self", "a")
SLOWEST_SECONDS = 60.0
SETTLE_SECONDS = 5.0
FACTS: dict[str, Any] = {}
WRITTEN: list[list[Any]] = []  # [label, version, name] of every change that was answered with 200
ANSWERED = {200, 304}
REFUSED = {409, 412}  # somebody else was faster, and is told so


class Seen:
    """What was answered since `forget`."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.statuses: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.locked = 0
        self._since, self._cpu = time.monotonic(), time.process_time()

    def add(self, kind: str, milliseconds: float, status: int, body: str) -> None:
        self.times[kind].append(milliseconds)
        self.statuses[str(status)] += 1
        if status not in ANSWERED | REFUSED:
            self.wrong[f"{kind} {status}"] += 1
            self.locked += "locked" in body.lower()

    def facts(self) -> dict[str, Any]:
        wall = time.monotonic() - self._since
        return {
            "seconds": round(wall, 1),
            "requests_per_second": round(sum(map(len, self.times.values())) / wall, 1),
            "crowd_busy": round((time.process_time() - self._cpu) / wall, 3),
            "statuses": dict(self.statuses),
            "wrong": dict(self.wrong),
            "locked": self.locked,
            "kinds": {kind: _quantiles(found) for kind, found in sorted(self.times.items())},
        }


def _quantiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    at = {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 95, 99)}
    return {"n": len(ordered), **{name: round(value, 1) for name, value in at.items()}}


SEEN = Seen()


class Visitor(FastHttpUser):
    """Somebody with an account, who looks, thinks for one to three seconds, and looks again."""

    wait_time = between(1, 3)
    connection_timeout = network_timeout = SLOWEST_SECONDS

    def on_start(self) -> None:
        self.draw = random.Random(random.random())
        self.person = self.draw.choice(FACTS["people"])
        self.cursors: dict[str, str] = {}

    @task
    def look(self) -> None:
        kind = self.draw.choices(list(SHARES), list(SHARES.values()))[0]
        {"page": self.page, "API": self.api, "PATCH": self.patch, "search": self.search, "export": self.export}[kind]()

    def page(self) -> None:
        run, k, draw = FACTS["run"], FACTS["k"], self.draw
        label = draw.choice(FACTS["clusters"])
        address = draw.choices(
            (
                f"/runs/{run}/k/{k}/clusters/{label}/",
                f"/runs/{run}/k/{k}/clusters/?sort={draw.choice(('size', 'coherence', 'dominant'))}",
                f"/runs/{run}/tokens/{draw.choice(FACTS['tokens'])}/",
                f"/runs/{run}/documents/{draw.randrange(FACTS['n_documents'])}/",
                f"/runs/{run}/",
            ),
            (45, 15, 15, 15, 10),
        )[0]
        self.ask("page", address)

    def search(self) -> None:
        self.ask("search", f"/runs/{FACTS['run']}/search/?q={self.draw.choice(WORDS)}")

    def export(self) -> None:
        table = self.draw.choice(("clusters.csv", "labels.csv", "clusters.jsonl"))
        query = f"affinity%3Dsigned%26k%3D{FACTS['k']}"
        self.ask("export", f"/api/v1/runs/{FACTS['run']}/exports/{table}?query={query}", is_scripted=True)

    def api(self) -> None:
        """Lists, from where the last page of them ended."""
        run, k, draw = FACTS["run"], FACTS["k"], self.draw
        clusters = f"/api/v1/runs/{run}/clusterings/signed/{k}/clusters/"
        address = draw.choice((clusters, f"{clusters}{draw.choice(FACTS['clusters'])}/members/", "/api/v1/labels/"))
        cursor = self.cursors.pop(address, "")
        response = self.ask("API", address + (f"?cursor={cursor}" if cursor else ""), is_scripted=True)
        if response.status_code == 200 and (following := response.json().get("next_cursor")):
            self.cursors[address] = following

    def patch(self) -> None:
        """Change a label of one's own; others with the same account may be faster."""
        address = f"/api/v1/labels/{self.draw.choice(self.person['labels'])}/"
        response = self.ask("API", address, is_scripted=True)
        if response.status_code != 200:
            return
        name, number = f"rule {self.draw.getrandbits(40):x}", int(address.split("/")[-2])
        headers = {"If-Match": response.headers["ETag"], "Content-Type": "application/json"}
        changed = self.ask("PATCH", address, True, method="PATCH", data=json.dumps({"name": name}), headers=headers)
        if changed.status_code == 200:
            WRITTEN.append([number, changed.json()["version"], name])

    def ask(self, kind: str, address: str, is_scripted: bool = False, method: str = "GET", **more: Any) -> Any:
        who = {"Authorization": f"Bearer {self.person['key']}"} if is_scripted else {}
        who |= {} if is_scripted else {"Cookie": f"sessionid={self.person['session']}"}
        since = time.perf_counter()
        headers = {**who, **more.pop("headers", {})}
        with self.client.request(method, address, name=kind, headers=headers, catch_response=True, **more) as response:
            response.success()
            body = response.text or ""
        SEEN.add(kind, 1000 * (time.perf_counter() - since), response.status_code, body[:2000])
        return response


def main(facts: Path, orders: Path, written: Path) -> None:
    """Follow the orders: [{"name", "users", "seconds", "at_once"}, …]; `users` of null is half the last good stage."""
    FACTS.update(json.loads(facts.read_text()))
    environment = Environment(user_classes=[Visitor], host=FACTS["base"], stop_timeout=2 * SLOWEST_SECONDS)
    runner = environment.create_local_runner()
    for order in json.loads(orders.read_text()):
        if order.get("at_once"):
            runner.stop()
        else:
            _grow(runner, order["users"])
            gevent.sleep(order.get("settle", SETTLE_SECONDS))
        SEEN.forget()
        _say({"event": "begin", **order})
        if order.get("at_once"):
            runner.start(order["users"], spawn_rate=order["users"])
        gevent.sleep(order["seconds"])
        _say({"event": "stage", **order, **SEEN.facts()})
    runner.stop()
    runner.quit()
    written.write_text(json.dumps(WRITTEN))


def _grow(runner: Any, users: int) -> None:
    runner.start(users, spawn_rate=max(1, users / 5))
    while runner.user_count != users:
        gevent.sleep(0.2)


def _say(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
    sys.stdout.flush()
    os._exit(0)  # Locust's own greenlets may wait for ever
