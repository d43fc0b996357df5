"""What a site that others reach refuses to start with; what its start finds odd."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from quantaweb import env, names, production, roles

ROOT = Path(__file__).resolve().parents[2]
SECRET = "f3b1c27d9a04e865" * 4
HUSH = "hush-9a04e865"
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "HOST": "postgres", "PASSWORD": HUSH, "NAME": "quantaweb"}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/data/quantaweb.sqlite3"}
SAFE = production.Start(
    debug=False,
    hosts=["quanta.example.org"],
    behind_tls=True,
    insecure_http=False,
    secret=SECRET,
    origins=[],
    site_url="https://quanta.example.org",
    database=POSTGRESQL,
    runner="celery",
    database_password=HUSH,
    broker_url=f"redis://:{HUSH}@broker:6379/0",
    cache_url=f"redis://:{HUSH}@cache:6379/0",
    broker_password=HUSH,
    mail_server=None,
    issuer="",
    suggest_url="",
    suggest_private=False,
    web_processes=2,
    proxies=1,
    metrics_key="",
    data_dir=Path("/nowhere"),
)
MAIL = {"EMAIL_HOST": "mail.example.org", "EMAIL_HOST_PASSWORD": "hush", "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False}
LAPTOP = replace(SAFE, hosts=["localhost", "127.0.0.1", "[::1]"], behind_tls=False, secret="", site_url="", proxies=0,
                 database=SQLITE, runner="local", cache_url="", web_processes=1)  # fmt: skip
COMPOSE = {
    "QW_ALLOWED_HOSTS": "quanta.example.org",
    "QW_SECRET_KEY": SECRET,
    "QW_DATABASE_URL": "postgres://quantaweb@postgres:5432/quantaweb",
    "QW_DATABASE_PASSWORD": HUSH,
    "QW_BROKER_URL": "redis://broker:6379/0",
    "QW_CACHE_URL": "redis://cache:6379/0",
    "QW_BROKER_PASSWORD": HUSH,
    "QW_RUNNER": "celery",
    "QW_BEHIND_TLS": "1",
    "QW_PROXIES": "1",
    "QW_WEB_PROCESSES": "2",
    "QW_LOG_FORMAT": "json",
    "QW_SITE_URL": "https://quanta.example.org",
    "QW_SITE": "quanta.example.org",
}


WORKER = replace(LAPTOP, database=POSTGRESQL, runner="celery")  # of a further machine, which serves nobody


def test_a_laptop_and_a_guarded_site_start() -> None:
    production.refuse(LAPTOP)
    production.refuse(WORKER)
    production.refuse(replace(LAPTOP, database=POSTGRESQL | {"PASSWORD": "", "HOST": "/run/postgresql"}))
    production.refuse(SAFE)
    production.refuse(
        replace(SAFE, behind_tls=False, insecure_http=True, proxies=0, site_url="http://quanta.example.org")
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"database": POSTGRESQL | {"PASSWORD": ""}}, "The database at postgres is asked without a password"),
        ({"database": POSTGRESQL | {"PASSWORD": "hush"}}, "QW_DATABASE_URL holds a password of 4 characters"),
        ({"database": SQLITE}, "QW_RUNNER=celery shares jobs among machines"),
        ({"broker_url": "redis://10.8.0.1:6379/0"}, "QW_BROKER_URL names a server at 10.8.0.1"),
        ({"suggest_url": "http://api.example.org/v1"}, "QW_SUGGEST_URL names api.example.org by http://"),
    ],
)
def test_a_further_machine_is_held_to_what_it_sends_to_others(change: dict[str, object], said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said):
        production.refuse(replace(WORKER, **change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"debug": True}, "QW_DEBUG shows settings"),
        ({"hosts": ["*"]}, "must not be [*]"),
        ({"secret": ""}, "set QW_SECRET_KEY"),
        ({"secret": "short"}, "QW_SECRET_KEY has 5 characters"),
        ({"secret": "ab" * 40}, "80 characters, 2 different ones"),
        ({"secret": "change-me-" + SECRET}, "still a placeholder"),
        ({"secret": "django-insecure-" + SECRET}, "still a placeholder"),
        ({"secret": SECRET + "xxxxxxxx"}, "still a placeholder"),
        ({"behind_tls": False, "proxies": 0}, "without TLS passwords and keys cross the network"),
        ({"insecure_http": True}, "contradict each other"),
        ({"proxies": 0}, "Set QW_PROXIES"),
        ({"site_url": "https://other.example.org"}, "QW_SITE_URL names other.example.org"),
        ({"site_url": "http://quanta.example.org"}, "serves https:// alone"),
        ({"origins": ["https://other.example.org"]}, "QW_TRUSTED_ORIGINS lets https://other"),
        ({"origins": ["http://quanta.example.org"]}, "not https://"),
        ({"database": SQLITE}, "QW_RUNNER=celery shares jobs"),
        ({"database": POSTGRESQL | {"PASSWORD": ""}}, "The database at postgres is asked without a password"),
        ({"broker_url": "redis://broker:6379/0"}, "QW_BROKER_URL names a server at broker that asks for no password"),
        ({"cache_url": "redis://cache:6379/0"}, "QW_CACHE_URL names a server at cache"),
        ({"cache_url": ""}, "2 web processes would each count"),
        ({"metrics_key": "guess"}, "QW_METRICS_KEY has 5 characters"),
        ({"metrics_key": "change-me-" + SECRET}, "QW_METRICS_KEY is still a placeholder"),
        ({"database": POSTGRESQL | {"PASSWORD": "hush"}, "database_password": "hush"},
         "QW_DATABASE_PASSWORD holds a password of 4 characters, .* it needs 12"),
        ({"database": POSTGRESQL | {"PASSWORD": "hush", "HOST": "127.0.0.1"}}, "QW_DATABASE_URL holds .* 4 characters"),
        ({"database": POSTGRESQL | {"PASSWORD": "your-password"}}, "QW_DATABASE_URL holds .* still a placeholder"),
        ({"broker_url": "redis://:hush@broker:6379/0"}, "QW_BROKER_URL holds a password of 4 characters"),
        ({"broker_url": "redis://:%68ush-hush-h@broker:6379/0"}, "QW_BROKER_URL holds a password of 11 characters"),
        ({"cache_url": "redis://:changeme-hush@cache:6379/0"}, "QW_CACHE_URL holds .* still a placeholder"),
        ({"database": POSTGRESQL | {"PASSWORD": "in-a-file"}, "database_password": "in-a-file"},
         "QW_DATABASE_PASSWORD says in-a-file, .* set QW_DATABASE_PASSWORD_FILE"),
        ({"cache_url": "redis://:in-a-file@cache:6379/0", "broker_password": "in-a-file"},
         "QW_BROKER_PASSWORD says in-a-file, .* set QW_BROKER_PASSWORD_FILE"),
        ({"issuer": "http://id.example.org"}, "QW_OIDC_ISSUER names id.example.org by http://"),
        ({"issuer": "http://10.0.0.5:8080/realm"}, "QW_OIDC_ISSUER names 10.0.0.5 by http://"),
        ({"suggest_url": "http://lm.example.org/v1"}, "QW_SUGGEST_URL names lm.example.org .*; or, .*_PRIVATE=1"),
        ({"suggest_url": "http://10.0.0.5/v1"}, "QW_SUGGEST_URL names 10.0.0.5 by http://"),
        ({"suggest_url": "http://8.8.8.8/v1", "suggest_private": True}, "QW_SUGGEST_URL .* Name it by https://[.]$"),
        ({"mail_server": MAIL}, "The mail server mail.example.org would be sent its password without TLS"),
    ],
)  # fmt: skip
def test_what_is_unsafe_is_refused_with_a_sentence(change: dict[str, object], said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said) as caught:
        production.refuse(replace(SAFE, **change))
    assert str(caught.value).count(". ") <= 2  # the one thing that is wrong, and what to do
    assert "hush" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"database": POSTGRESQL | {"HOST": "", "PASSWORD": ""}},
        {"database": POSTGRESQL | {"HOST": "/run/postgresql", "PASSWORD": ""}},
        {"database": POSTGRESQL | {"PASSWORD": "", "OPTIONS": {"passfile": "/run/secrets/pgpass"}}},
        {"broker_url": "redis://127.0.0.1:6379/0", "cache_url": "unix:///run/redis.sock"},
        {"broker_url": "", "runner": "local"},
        {"hosts": [".example.org"]},
        {"origins": ["https://quanta.example.org"]},
        {"database": SQLITE, "runner": "local"},
    ],
)
def test_what_nobody_else_reaches_needs_no_password(change: dict[str, object]) -> None:
    production.refuse(replace(SAFE, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://id.example.org"},
        {"issuer": "http://127.0.0.1:8080/realm"},
        {"suggest_url": "https://lm.example.org/v1"},
        {"suggest_url": "http://[::1]:11434/v1"},
        {"suggest_url": "http://ollama:11434/v1", "suggest_private": True},
        {"suggest_url": "http://10.0.0.5/v1", "suggest_private": True},
        {"mail_server": MAIL | {"EMAIL_USE_TLS": True}},
        {"mail_server": MAIL | {"EMAIL_USE_SSL": True}},
        {"mail_server": MAIL | {"EMAIL_HOST_PASSWORD": ""}},
        {"mail_server": MAIL | {"EMAIL_HOST": "localhost"}},
    ],
)
def test_what_is_told_to_others_goes_by_tls_or_stays_in_the_house(change: dict[str, object]) -> None:
    production.refuse(replace(SAFE, **change))


def test_a_password_that_is_sent_to_nobody_may_be_a_placeholder() -> None:
    production.refuse(replace(SAFE, database_password="in-a-file", broker_password="in-a-file"))
    production.refuse(replace(SAFE, broker_url="redis://:hush@broker:6379/0", runner="local"))
    own = POSTGRESQL | {"PASSWORD": "q", "HOST": "127.0.0.1"}
    production.refuse(replace(LAPTOP, database=own, issuer="http://id.example.org"))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "[::1]", "::1", "a.localhost"])
def test_names_of_this_machine(host: str) -> None:
    assert production.is_loopback(host)


@pytest.mark.parametrize("host", ["*", ".", "example.org", "localhost.example.org", "10.0.0.1", "0.0.0.0", "[fe80::1]"])
def test_names_of_others(host: str) -> None:
    assert not production.is_loopback(host)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "ceph"])
def test_sqlite_on_a_network_disk_is_refused_on_a_laptop_too(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"44 21 0:44 / /data rw,relatime shared:2 - {kind} server:/x rw\n"
        "45 44 8:2 / /data/fast rw - xfs /dev/sdb rw\n"
    )
    with pytest.raises(ImproperlyConfigured, match=rf"network disk \({kind}\)"):
        production.refuse(LAPTOP, str(mounts))
    production.refuse(replace(LAPTOP, database=SQLITE | {"NAME": "/data/fast/q.sqlite3"}), str(mounts))
    production.refuse(replace(LAPTOP, database=SQLITE | {"NAME": "/database/q.sqlite3"}), str(mounts))
    production.refuse(SAFE, str(mounts))


def test_a_secret_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush")
    file.chmod(0o644)
    start = replace(SAFE, secret_files={"QW_DATABASE_PASSWORD": file})
    with pytest.raises(ImproperlyConfigured, match=f"chmod 600 {file}"):
        production.refuse(start)
    file.chmod(0o640)
    production.refuse(start)


# ── from the environment ──


def started(code: str, data: Path, own: dict[str, str], *argv: str) -> subprocess.CompletedProcess[str]:
    rest = {key: value for key, value in os.environ.items() if not key.startswith("QW_")}
    given = rest | {"DJANGO_SETTINGS_MODULE": "quantaweb.settings", "QW_DATA_DIR": str(data)} | own
    command = [sys.executable, *(argv or ("-c", code))]
    return subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_the_check_for_deploying_finds_nothing_in_compose_s_environment(tmp_path: Path) -> None:
    done = started("", tmp_path, COMPOSE, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "no issues (0 silenced)" in done.stdout


UNSAFE = {
    "QW_OIDC_ISSUER": {
        "QW_OIDC_ISSUER": "http://id.example.org", "QW_OIDC_CLIENT_ID": "q", "QW_OIDC_CLIENT_SECRET": "q",
    },
    "QW_SUGGEST_URL": {"QW_SUGGEST_URL": "http://lm.example.org/v1", "QW_SUGGEST_MODEL": "big"},
    "QW_EMAIL_URL": {"QW_EMAIL_URL": "smtp+plain://ana:hush@mail.example.org"},
    "QW_EMAIL_SECURITY": {
        "QW_EMAIL_HOST": "mail.example.org", "QW_EMAIL_USER": "ana", "QW_EMAIL_PASSWORD": "hush",
        "QW_EMAIL_SECURITY": "none",
    },
    "QW_SENTRY_DSN": {"QW_SENTRY_DSN": "errors.example.org"},
    "QW_METRICS_KEY": {"QW_METRICS_KEY": "replace-me-with-a-long-key"},
    "QW_DATABASE_PASSWORD": {"QW_DATABASE_PASSWORD": "in-a-file"},
    "QW_DATABASE_URL": {"QW_DATABASE_URL": "postgres://quantaweb:hush@postgres:5432/quantaweb"},
    "QW_BROKER_PASSWORD": {"QW_BROKER_PASSWORD": "in-a-file"},
    "QW_THREADS": {"QW_THREADS": "four"},
    "QW_HUB_CACHE_FILE": {"QW_HUB_CACHE_FILE": "/nowhere/at-all"},
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_the_check_for_deploying_ends_with_a_sentence_that_names_the_setting(tmp_path: Path, name: str) -> None:
    done = started("", tmp_path, COMPOSE | UNSAFE[name], "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode != 0
    assert name in done.stderr.splitlines()[-1]
    assert "hush" not in done.stderr


def test_a_password_in_a_file_is_what_is_used_whatever_env_says_beside_it(tmp_path: Path) -> None:
    own = {"QW_DATABASE_PASSWORD": "in-a-file", "QW_BROKER_PASSWORD": "in-a-file"}
    for name in tuple(own):
        (file := tmp_path / name).write_text(f"{HUSH}\n")
        file.chmod(0o600)
        own[f"{name}_FILE"] = str(file)
    done = started("", tmp_path, COMPOSE | own, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


def gunicorn(folder: Path, own: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The server's settings as deploy/gunicorn.py makes them, and what the site's settings say then."""
    (folder / "said.py").write_text(
        "from quantaweb import settings\n"
        "print('settings', settings.WEB_PROCESSES, settings.WEB_THREADS)\n"
        "application = lambda *_: []\n"
    )
    options = ["--config", "deploy/gunicorn.py", "--check-config", "--print-config"]
    own = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(folder)} | own
    return started("", folder, own, "-m", "gunicorn", *options, "said:application")


def test_gunicorn_and_the_settings_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "processes").write_text("3\n")
    (tmp_path / "threads").write_text("6\n")
    files = {"QW_WEB_PROCESSES_FILE": tmp_path / "processes", "QW_WEB_THREADS_FILE": tmp_path / "threads"}
    for own, processes, threads in (
        ({}, 2, 4),
        ({"QW_WEB_PROCESSES": "5"}, 5, 4),
        ({"QW_WEB_PROCESSES": "5"} | {name: str(file) for name, file in files.items()}, 3, 6),
    ):
        done = gunicorn(tmp_path, own)
        assert f"settings {processes} {threads}" in done.stdout, done.stderr
        assert re.search(rf"^workers *= {processes}$", done.stdout, re.MULTILINE), done.stdout
        assert re.search(rf"^threads *= {threads}$", done.stdout, re.MULTILINE), done.stdout


def test_gunicorn_says_in_a_sentence_what_is_no_number(tmp_path: Path) -> None:
    done = gunicorn(tmp_path, {"QW_WEB_THREADS": "1"})
    assert done.returncode != 0
    assert "QW_WEB_THREADS is '1'; it must be a whole number of at least 2." in done.stderr


def test_on_a_laptop_the_check_for_deploying_only_misses_tls(tmp_path: Path) -> None:
    done = started("", tmp_path, {}, "manage.py", "check", "--deploy")
    found = set(re.findall(r"\((\w+\.[WE]\d+)\)", done.stderr))
    assert found == {"security.W004", "security.W008", "security.W012", "security.W016"}  # SECURITY.md says why


def test_a_web_server_ends_with_the_sentence(tmp_path: Path) -> None:
    """Not after a row of processes that die: the first one that reads the settings says it and goes."""
    options = ["--bind", f"unix:{tmp_path}/sock", "--logger-class", "quantaweb.server_log.ServerLog"]
    done = started("", tmp_path, COMPOSE | {"QW_PROXIES": "0"}, "-m", "gunicorn", "quantaweb.wsgi", *options)
    assert done.returncode != 0
    assert "Set QW_PROXIES" in done.stderr


SECRETS = {
    "QW_SECRET_KEY": ("SECRET_KEY", SECRET),
    "QW_DATABASE_URL": ("DATABASES['default']['PASSWORD']", "postgres://q:from-file@127.0.0.1/q"),
    "QW_BROKER_URL": ("CELERY_BROKER_URL", "redis://:from-file@127.0.0.1:6379/0"),
    "QW_CACHE_URL": ("CACHE_URL", "redis://:from-file@127.0.0.1:6379/1"),
    "QW_METRICS_KEY": ("METRICS_KEY", "from-file-" + SECRET),
    "QW_SENTRY_DSN": ("SENTRY_DSN", "https://from-file@127.0.0.1/1"),
    "QW_SUGGEST_KEY": ("SUGGEST_KEY", "from-file"),
    "QW_EMAIL_PASSWORD": ("EMAIL_HOST_PASSWORD", "from-file"),
    "QW_EMAIL_URL": ("EMAIL_HOST_PASSWORD", "smtp://q:from-file@127.0.0.1"),
    "QW_OIDC_CLIENT_SECRET": ("SOCIALACCOUNT_PROVIDERS['openid_connect']['APPS'][0]['secret']", "from-file"),
    "QW_GITHUB_CLIENT_SECRET": ("SOCIALACCOUNT_PROVIDERS['github']['APPS'][0]['secret']", "from-file"),
}
ALSO = {
    "QW_EMAIL_HOST": "127.0.0.1",
    "QW_EMAIL_USER": "q",
    "QW_SITE_URL": "http://127.0.0.1",
    "QW_OIDC_ISSUER": "https://id.example.org",
    "QW_OIDC_CLIENT_ID": "q",
    "QW_GITHUB_CLIENT_ID": "q",
}


@pytest.mark.parametrize("other", ["QW_EMAIL_URL", "QW_EMAIL_PASSWORD"])  # one or the other names the server
def test_each_secret_may_lie_in_a_file(tmp_path: Path, other: str) -> None:
    asked = {name: told for name, told in SECRETS.items() if name != other}
    own = dict(ALSO)
    for name, (_, value) in asked.items():
        (file := tmp_path / name).write_text(f"{value}\n")
        file.chmod(0o600)
        own[f"{name}_FILE"] = str(file)
    code = "from quantaweb import settings as s\n" + "\n".join(f"print(s.{setting})" for setting, _ in asked.values())
    done = started(code, tmp_path, own)
    said = dict(zip(asked, done.stdout.splitlines(), strict=True))
    for name, (_, value) in asked.items():
        assert (value if SECRET in value else "from-file") in said[name], name


def test_a_secret_s_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QW_SECRET_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match="QW_SECRET_KEY_FILE names .*none, which cannot be read"):
        env.text("QW_SECRET_KEY")


# ── names ──


def test_a_slip_of_the_pen_is_told_with_the_name_that_was_meant(tmp_path: Path) -> None:
    assert names.unknown({"QW_LOGLEVEL": "1", "QW_RUNER": "celery", "PATH": ""}) == [
        ("QW_LOGLEVEL", "QW_LOG_LEVEL"), ("QW_RUNER", "QW_RUNNER"),
    ]  # fmt: skip
    compose_s = {"QW_SITE": "", "QW_SITE_FILE": "", "QW_KEY": "", "QW_ALIVE_FILE": "", "QW_THREADS_FILE": ""}
    assert names.unknown(compose_s) == [("QW_SITE_FILE", "QW_SITE")]  # Compose reads none from a file
    done = started("", tmp_path, {"QW_SECRET_KEYFILE": "x"}, "manage.py", "check")
    assert done.returncode == 0
    assert "QW_SECRET_KEYFILE is set, but no such setting exists" in done.stderr
    assert "Do you mean QW_SECRET_KEY?" in done.stderr


def test_every_name_that_something_reads_is_known() -> None:
    read = set()
    places = ["docker-compose.yml", ".env.example", "Makefile", *(str(p) for p in Path(ROOT, "deploy").rglob("*"))]
    code = [path for folder in ("quantaweb", "compute", "clusters") for path in Path(ROOT, folder).rglob("*.py")]
    for path in [*(ROOT / place for place in places), *code]:
        if path.is_file():
            read |= set(re.findall(r"\bQW_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8")))
    assert names.unknown(dict.fromkeys(read - {roles.VARIABLE}, "")) == []


# ── roles ──


@pytest.mark.parametrize(
    ("code", "query", "said"),
    [
        ("import quantaweb.wsgi", "", "-c statement_timeout=15000, prepared: True"),
        ("import quantaweb.wsgi", "?server_side_binding=false", "-c statement_timeout=15000, prepared: False"),
        ("import sys; sys.argv = ['manage.py', 'migrate']", "", "-c lock_timeout=5000, prepared: None"),
        ("import sys; sys.argv = ['manage.py', 'run_job', '1']", "", "None, prepared: None"),
        ("import quantaweb.celery", "", "None, prepared: None"),
    ],
)
def test_how_a_process_asks_postgresql_and_how_long_it_may_hold_it_up(
    tmp_path: Path, code: str, query: str, said: str
) -> None:
    own = {"QW_DATABASE_URL": f"postgres://q:q@127.0.0.1/q{query}"}
    say = f"{code}\nfrom django.conf import settings; options = settings.DATABASES['default']['OPTIONS']"
    say += "; print(f\"{options.get('options')}, prepared: {options.get('server_side_binding')}\")"
    done = started(say, tmp_path, own)
    assert done.stdout.strip() == said, done.stderr
