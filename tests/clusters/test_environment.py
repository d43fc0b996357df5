"""Settings read from the environment, in a process of its own."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from kombu import Connection
from redis import ConnectionPool, SSLConnection

from quantaweb import env

ROOT = Path(__file__).resolve().parents[2]
SAY_WHERE = "from django.conf import settings; print(settings.DATABASES['default']['NAME'])"


@pytest.mark.parametrize("name", ["with space", "a#b", "a?b", "50%25", "ä"])
def test_the_database_lies_in_the_data_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    own = {"QW_DATA_DIR": str(tmp_path / name), "DJANGO_SETTINGS_MODULE": "quantaweb.settings", "PYTHONUTF8": "1"}
    rest = {key: value for key, value in os.environ.items() if not key.startswith("QW_")}
    said = subprocess.run([sys.executable, "-c", SAY_WHERE], env=rest | own, cwd=ROOT, capture_output=True, check=True)
    assert said.stdout.decode().strip() == str(tmp_path / name / "quantaweb.sqlite3")


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QW_SECRET_KEY", raising=False)
    file = tmp_path / "data" / "secret_key"
    first = env.secret_key(file)
    assert len(first) >= 50
    assert env.secret_key(file) == first
    env._make_secret(file)  # as by another process at the same moment
    assert file.read_text() == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("set_", "server"),
    [
        ({}, None),
        (
            {"QW_EMAIL_URL": "smtp://ana:p%40ss@mail.example.org"},
            ("mail.example.org", 587, "ana", "p@ss", True, False),
        ),
        ({"QW_EMAIL_URL": "smtps://mail.example.org:4465"}, ("mail.example.org", 4465, "", "", False, True)),
        (
            {"QW_EMAIL_HOST": "mail", "QW_EMAIL_USER": "a@b", "QW_EMAIL_PASSWORD": "x/y:z@"},
            ("mail", 587, "a@b", "x/y:z@", True, False),
        ),
        ({"QW_EMAIL_HOST": "mail", "QW_EMAIL_SECURITY": "none"}, ("mail", 25, "", "", False, False)),
    ],
)
def test_a_mail_server_is_named_in_one_line_or_in_several(
    monkeypatch: pytest.MonkeyPatch, set_: dict[str, str], server: tuple[object, ...] | None
) -> None:
    for name, value in set_.items():
        monkeypatch.setenv(name, value)
    found = env.mail_server()
    assert (tuple(found.values()) if found else None) == server


@pytest.mark.parametrize("url", ["mail.example.org", "http://mail", "smtp://", "smtp://mail:99999", "smtp://mail:x"])
def test_what_names_no_mail_server_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("QW_EMAIL_URL", url.replace("://", "://ana:hush@"))
    with pytest.raises(env.ImproperlyConfigured, match="names no mail server") as caught:
        env.mail_server()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", ["quanta.example.org", "ftp://x", "https://", "https://x/?a=1"])
def test_what_is_no_site_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_SITE_URL", value)
    with pytest.raises(env.ImproperlyConfigured, match="write a whole address"):
        env.address("QW_SITE_URL")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"QW_EMAIL_HOST": "mail"}, "set QW_SITE_URL"),
        ({"QW_SIGNUP": "maybe"}, "choose among off, invitation, open"),
        ({"QW_SIGNUP_ROLES": "labeler,admin"}, "QW_SIGNUP_ROLES names admin"),
        ({"QW_OIDC_ISSUER": "https://id.example.org"}, "QW_OIDC_CLIENT_ID is not"),
        ({"QW_GITHUB_CLIENT_ID": "x"}, "QW_GITHUB_CLIENT_SECRET is not"),
        ({"QW_SENTRY_DSN": "errors.example.org"}, "QW_SENTRY_DSN is no address of a Sentry"),
    ],
)
def test_half_a_setting_stops_the_start_with_a_sentence(tmp_path: Path, own: dict[str, str], said: str) -> None:
    rest = {key: value for key, value in os.environ.items() if not key.startswith("QW_")}
    given = rest | own | {"QW_DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "quantaweb.settings"}
    done = subprocess.run([sys.executable, "-c", SAY_WHERE], env=given, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert said in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "value",
    [
        "postgress://ana:hush@h/db", "postgres://ana:hush#hush@h:5432/db", "postgres://ana:hush@h:port/db",
        "postgres://ana:hush@h", "mysql://ana:hush@h/db", "sqlite://", "h/db",
    ],
)  # fmt: skip
def test_what_names_no_database_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_DATABASE_URL", value)
    with pytest.raises(env.ImproperlyConfigured, match="QW_DATABASE_URL names no database that") as caught:
        env.database("QW_DATABASE_URL", "sqlite:///here")
    assert "hush" not in str(caught.value)


def test_a_database_is_named_by_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.database("QW_DATABASE_URL", "sqlite:////data/one.sqlite3")["NAME"] == "/data/one.sqlite3"
    monkeypatch.setenv("QW_DATABASE_URL", "postgres://ana:p%23s@h:5433/db")
    found = env.database("QW_DATABASE_URL", "sqlite:////data/one.sqlite3")
    assert [found[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == ["ana", "p#s", "h", 5433, "db"]


@pytest.mark.parametrize(
    "value", ["quanta.example.org", "https://a.example.org/", "ftp://a", "https://", "https://a, b"]
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_CORS_ORIGINS", value)
    with pytest.raises(env.ImproperlyConfigured, match="write whole origins"):
        env.origins("QW_CORS_ORIGINS")


def test_origins_stand_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QW_CORS_ORIGINS", "https://*.example.org, http://localhost:3000")
    assert env.origins("QW_CORS_ORIGINS") == ["https://*.example.org", "http://localhost:3000"]


@pytest.mark.parametrize("value", ["cpu", "cuda", "cuda:1"])
def test_a_device_is_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_DEVICE", value)
    assert env.device("QW_DEVICE") == value


@pytest.mark.parametrize("value", ["gpu", "cuda:", "cuda:x", "CUDA"])
def test_what_is_no_device_is_refused_with_what_would_be_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("QW_DEVICE", value)
    with pytest.raises(env.ImproperlyConfigured, match="cpu, cuda"):
        env.device("QW_DEVICE")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("redis://broker:6379/0", "redis://:p%40ss@broker:6379/0"),
        ("redis://:own@broker:6379/0", "redis://:own@broker:6379/0"),
        ("unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock?db=1"),
        ("rediss://broker:6379/0", "rediss://:p%40ss@broker:6379/0?ssl_cert_reqs=required"),
        ("rediss://broker/0?ssl_ca_certs=/ca", "rediss://:p%40ss@broker/0?ssl_ca_certs=/ca&ssl_cert_reqs=required"),
        ("rediss://:own@broker/0?ssl_cert_reqs=none", "rediss://:own@broker/0?ssl_cert_reqs=none"),
    ],
)
def test_the_address_of_a_redis(monkeypatch: pytest.MonkeyPatch, given: str, meant: str) -> None:
    monkeypatch.setenv("QW_BROKER_URL", given)
    monkeypatch.setenv("QW_BROKER_PASSWORD", "p@ss")
    assert env.server("QW_BROKER_URL", "QW_BROKER_PASSWORD") == meant


def test_both_libraries_of_a_redis_with_tls_check_its_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QW_BROKER_URL", "rediss://:hush@broker:6379/0")
    address = env.server("QW_BROKER_URL")
    assert Connection(address).ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    pool = ConnectionPool.from_url(address)
    assert pool.connection_class is SSLConnection
    assert pool.make_connection().cert_reqs == ssl.CERT_REQUIRED


def test_a_database_with_tls_is_asked_for_it(tmp_path: Path) -> None:
    say = "from django.conf import settings; print(settings.DATABASES['default']['OPTIONS'])"
    address = "postgres://quantaweb:hush-hush-hush@db/quantaweb?sslmode=verify-full&sslrootcert=/ca.pem"
    own = {"QW_DATA_DIR": str(tmp_path), "QW_DATABASE_URL": address, "DJANGO_SETTINGS_MODULE": "quantaweb.settings"}
    rest = {key: value for key, value in os.environ.items() if not key.startswith("QW_")}
    said = subprocess.run([sys.executable, "-c", say], env=rest | own, cwd=ROOT, capture_output=True, check=True)
    assert "'sslmode': 'verify-full', 'sslrootcert': '/ca.pem'" in said.stdout.decode()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sqlite:///{here}/new.sqlite3", "The database lacks tables of this release; `python manage.py migrate`"),
        ("sqlite:///{here}/text.sqlite3", "The database is damaged (file is not a database)."),
        ("postgres://ana:hush-hush@127.0.0.1:1/db", "The database cannot be reached ("),
    ],
)
def test_a_command_without_a_usable_database_ends_with_a_sentence(tmp_path: Path, address: str, said: str) -> None:
    (tmp_path / "text.sqlite3").write_text("no database " * 99)
    rest = {key: value for key, value in os.environ.items() if not key.startswith("QW_")}
    given = rest | {"QW_DATA_DIR": str(tmp_path), "QW_DATABASE_URL": address.format(here=tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "verify"], env=given, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(said), done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr
