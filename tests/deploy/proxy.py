"""HAProxy with deploy/haproxy/haproxy.cfg as it is, on ports that were free a moment ago, in front of a server."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(ROOT, "deploy", "haproxy", "haproxy.cfg")
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 40
MEMORY_MIB_MAX = 256


def program():
    """HAProxy's path; Debian installs it where a user's PATH may not look."""
    path = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if path is None:
        raise RuntimeError("no haproxy: scripts/install-deps.sh deploy")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise RuntimeError(f"not within {seconds} s: {what}")


class Proxy:
    """Started on entry, when every address listens; killed on exit if the test has not stopped it."""

    def __init__(self, upstream_port, **settings):
        self.port = free_port()
        self.status_port = free_port()
        self.environment = dict(os.environ)
        self.environment.update(
            ATTND_PROXY_LISTEN=f"127.0.0.1:{self.port}",
            ATTND_PROXY_STATUS=f"127.0.0.1:{self.status_port}",
            ATTND_PROXY_UPSTREAM=f"127.0.0.1:{upstream_port}",
        )
        self.environment.update({f"ATTND_PROXY_{name.upper()}": str(value) for name, value in settings.items()})

    def __enter__(self):
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [program(), "-db", "-m", str(MEMORY_MIB_MAX), "-f", CONFIG],
            env=self.environment, stdout=self.log, stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: self.status("/livez") == 200, START_SECONDS_MAX, "haproxy answers /livez")
        except RuntimeError as error:
            self.__exit__()
            raise RuntimeError(f"{error}\n{self.text}") from error
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.text = self.log_text()
        self.log.close()

    def log_text(self):
        self.log.seek(0)
        return self.log.read()

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def status(self, path):
        """The HTTP code of the status address; 0 when nothing answers or HAProxy has ended."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.status_port}{path}", timeout=2) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_ready(self):
        wait_until(lambda: self.status("/readyz") == 200, START_SECONDS_MAX, "an attnd is ready behind haproxy")

    def wait_not_ready(self, seconds):
        wait_until(lambda: self.status("/readyz") == 503, seconds, "no attnd is ready behind haproxy")

    def resident_bytes_max(self):
        """The most that was resident since the start."""
        return peak_bytes(self.process.pid)


def peak_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
