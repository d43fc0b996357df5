"""The compose files and their documentation, without starting anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from quantaweb import names

REPOSITORY = Path(__file__).parent.parent.parent
COMPOSE = ("docker-compose.yml", "deploy/worker.yml", "deploy/private-ports.yml", "deploy/secrets.yml")
TESTS_ALONE = {"QW_FAULT_FIGURES", "QW_FUZZ_EXAMPLES", "QW_PEOPLE", "QW_WRITES", "QW_KEY", "QW_ROLE"}
DOCUMENTED = (REPOSITORY / "docs/deploy.md").read_text()


def services(file: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((REPOSITORY / file).read_text())["services"]
    return found


def test_every_setting_is_documented() -> None:
    table = DOCUMENTED.partition("## Every setting")[2]
    settings = set(re.findall(r"`([A-Z_]+)`", table))
    assert names.known() - TESTS_ALONE - settings == set()


def test_every_documented_setting_is_read_by_something() -> None:
    table = DOCUMENTED.partition("## Every setting")[2]
    settings = set(re.findall(r"`(QW_[A-Z_]+)`", table))
    assert settings - names.known() == set()


@pytest.mark.parametrize("file", COMPOSE)
def test_every_variable_of_the_compose_files_is_documented(file: str) -> None:
    variables = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (REPOSITORY / file).read_text()))
    assert {name for name in variables if f"`{name}`" not in DOCUMENTED} == set()


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/worker.yml"])
def test_every_service_is_kept_small_and_without_rights(file: str) -> None:
    for name, service in services(file).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service, name
        assert service["logging"]["options"]["max-size"], name


@pytest.mark.parametrize("file", [*COMPOSE, "deploy/Dockerfile", ".env.example"])
def test_workers_end_by_sigterm_as_it_is(file: str) -> None:
    """Made a SIGQUIT of, it would have Celery wait out its whole soft shutdown after the children are done."""
    assert "REMAP_SIGTERM" not in (REPOSITORY / file).read_text()


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/worker.yml"])
def test_every_gpu_worker_sees_one_card_of_its_own(file: str) -> None:
    found = {name: one for name, one in services(file).items() if name.startswith("worker-gpu")}
    cards = {}
    for name, service in found.items():
        [card] = service["deploy"]["resources"]["reservations"]["devices"]
        cards[name] = card["device_ids"]
        assert service["environment"]["QW_DEVICE"] == "cuda", name  # it counts only what it sees
    assert cards == {"worker-gpu": ["${QW_GPU:-0}"], "worker-gpu-1": ["1"]}
    assert [one["profiles"] for one in found.values()] == [["gpu"], ["gpu-1"]]


def test_secrets_in_files_reach_every_service_of_ours() -> None:
    ours = {name for name, one in services("docker-compose.yml").items() if "env_file" in one}
    assert ours <= services("deploy/secrets.yml").keys()


def test_the_web_server_has_time_to_end_its_answers() -> None:
    graceful = re.search(r"graceful_timeout, keepalive = 60, (\d+)", (REPOSITORY / "deploy/gunicorn.py").read_text())
    assert graceful
    assert int(services("docker-compose.yml")["web"]["stop_grace_period"].removesuffix("s")) > int(graceful[1])


def test_the_proxy_gives_a_long_table_the_time_it_takes() -> None:
    """Its limit is of a whole answer: at the paper's size a table takes minutes, and cannot be resumed."""
    found = re.search(r"\bwrite (\d+)h\b", (REPOSITORY / "deploy/Caddyfile").read_text())
    assert found
    assert int(found[1]) >= 1


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/worker.yml"])
def test_the_index_of_torch_is_taken_from_where_compose_reads_its_variables(file: str) -> None:
    built = [one["build"]["args"] for one in services(file).values() if one.get("build", {}).get("args")]
    assert built
    assert all(args == {"TORCH_INDEX": "${TORCH_INDEX:-}"} for args in built)


def test_only_the_proxy_publishes_ports() -> None:
    assert [name for name, service in services("docker-compose.yml").items() if "ports" in service] == ["proxy"]


def test_the_database_the_broker_and_the_cache_have_no_way_out() -> None:
    found = services("docker-compose.yml")
    assert [found[name]["networks"] for name in ("postgres", "broker", "cache")] == [["inside"]] * 3


def test_a_further_machine_never_takes_what_needs_the_sites_own_files() -> None:
    for service in services("deploy/worker.yml").values():
        assert not any("site" in word for word in service["command"] if word.startswith("--queues"))


def test_the_example_names_no_secret() -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if re.match(r"QW_\w*(KEY|PASSWORD)=", line))
    assert len(given) == 3
    assert not any(given.values())


@pytest.mark.parametrize("file", [*COMPOSE, "deploy/Dockerfile", ".env.example", "docs/deploy.md"])
def test_no_registry_is_named(file: str) -> None:
    text = (REPOSITORY / file).read_text()
    assert not re.search(r"docker\.io|ghcr\.io|quay\.io|pypi\.org|download\.pytorch\.org", text)
