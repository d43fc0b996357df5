"""Keep what a release's own code writes: python -m tests.migrations.make_release NAME COMMIT.

The commit's tree is taken from git into a folder of its own; its code migrates an empty database of each kind and
fills it (`fill_release.py`); both databases and the bundles are packed into tests/data/releases/NAME. Run it once when
a release is made, before the first migration after it.
"""

from __future__ import annotations

import io
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from tests.postgres import Server, find_binaries

ROOT = Path(__file__).resolve().parents[2]
RELEASES = ROOT / "tests" / "data" / "releases"
FILL = Path(__file__).with_name("fill_release.py")


def take_code(commit: str, folder: Path) -> Path:
    """The tree of a commit, in a folder of its own."""
    raw = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as tree:
        tree.extractall(folder, filter="data")
    return folder


def run_in(code: Path, data: Path, url: str, *command: str) -> str:
    """Run a command of that release; give what it prints."""
    own = {"QW_DATA_DIR": str(data), "QW_DATABASE_URL": url, "PYTHONPATH": str(code)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QW_", "DJANGO_"))} | own
    done = subprocess.run([sys.executable, *command], cwd=code, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def fill(code: Path, data: Path, url: str) -> None:
    run_in(code, data, url, "manage.py", "migrate", "--verbosity", "0")
    run_in(code, data, url, str(FILL))


def dump_sqlite(file: Path) -> bytes:
    import sqlite3

    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("VACUUM")
    return file.read_bytes()


def dump_postgres(server: Server, database: str) -> bytes:
    command = [str(server.binaries / "pg_dump"), "--no-owner", "--no-privileges", "--host", str(server.folder)]
    return subprocess.run([*command, "--username=postgres", database], check=True, capture_output=True).stdout


def pack(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.add(file, str(file.relative_to(folder)), recursive=False)
    return out.getvalue()


def make(name: str, commit: str) -> None:
    place = RELEASES / name
    place.mkdir(parents=True, exist_ok=True)
    binaries = find_binaries()
    assert binaries is not None, "PostgreSQL's server is not installed"
    with tempfile.TemporaryDirectory(prefix="qw-release-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        code = take_code(commit, folder / "code")
        data = folder / "data"
        data.mkdir()
        fill(code, data, f"sqlite:///{data / 'quantaweb.sqlite3'}")
        keep(place / "sqlite.xz", dump_sqlite(data / "quantaweb.sqlite3"))
        keep(place / "bundles.tar.xz", pack(data / "bundles"))
        (place / "tables.json").write_text(run_in(code, data, "", str(FILL), "describe"))
        (folder / "again").mkdir()
        with running(Path(tempfile.mkdtemp(prefix="qw-pg-")), binaries) as server:
            fill(code, folder / "again", server.create("release"))
            keep(place / "postgres.sql.xz", dump_postgres(server, "release"))
    (place / "COMMIT").write_text(f"{subprocess.check_output(['git', 'rev-parse', commit], cwd=ROOT, text=True)}")


def keep(file: Path, content: bytes) -> None:
    file.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    print(f"{file.relative_to(ROOT)}: {len(content):,} bytes, {file.stat().st_size:,} packed")


class running:  # noqa: N801 (read as a word)
    """A server for as long as the block lasts."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.server = Server(folder, binaries)

    def __enter__(self) -> Server:
        import shutil

        if os.geteuid() == 0:
            shutil.chown(self.server.folder, self.server.account, self.server.account)
        self.server.start()
        return self.server

    def __exit__(self, *_: object) -> None:
        import shutil

        self.server.stop()
        shutil.rmtree(self.server.folder, ignore_errors=True)


if __name__ == "__main__":
    make(*sys.argv[1:])
