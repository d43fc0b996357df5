"""How the web server runs in a container: a few processes of a few threads, each as long-lived as the server."""

import os
from pathlib import Path
from typing import Any

from quantaweb import env

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "/tmp/prometheus")  # noqa: S108 (the container's own; no command's)
bind = "0.0.0.0:8000"
os.environ.setdefault("QW_WEB_PROCESSES", "2")  # settings, which read the same, hear of it
workers = env.integer("QW_WEB_PROCESSES", 2, least=1)
threads = env.integer("QW_WEB_THREADS", 4, least=2)
worker_class = "gthread"
timeout, graceful_timeout, keepalive = 60, 30, 5
worker_tmp_dir = "/dev/shm"  # noqa: S108 (heartbeats of gunicorn's own processes, never on a slow disk)
forwarded_allow_ips = "*"  # only the proxy reaches this port
forwarder_headers = ""  # it passes on what anybody sends: a SCRIPT_NAME would hide an address from its rules
control_socket_disable = True
logger_class = "quantaweb.server_log.ServerLog"


def on_starting(server: Any) -> None:
    """Make the folder where processes add up their numbers; what earlier ones left there would count twice."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for file in Path(folder).glob("*.db"):
            file.unlink()


def child_exit(server: Any, worker: Any) -> None:
    """Take a process that has ended out of the sums of those that live."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)
