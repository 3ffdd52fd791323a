"""HAProxy with deploy/haproxy/haproxy.cfg, on ports that were free a moment ago, before a server; and calls to it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import http2_frames as h2

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = os.path.join(ROOT, "deploy", "haproxy", "haproxy.cfg")
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 5
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
    """Started on entry, when every address listens; ended on exit if the test has not stopped it."""

    def __init__(self, upstream_port, config=CONFIG, options=("-db",), **settings):
        self.command = [program(), *options, "-m", str(MEMORY_MIB_MAX), "-f", config]
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
            self.command, env=self.environment, stdout=self.log, stderr=subprocess.STDOUT,
        )
        try:
            wait_until(lambda: self.status("/livez") == 200, START_SECONDS_MAX, "haproxy answers /livez")
        except RuntimeError as error:
            self.__exit__()
            raise RuntimeError(f"{error}\n{self.text}") from error
        return self

    def __exit__(self, *unused):
        self.process.terminate()  # ends at once; a master process ends its worker first
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.text = self.log_text()
        self.log.close()

    def log_text(self):
        # Opened anew: HAProxy writes where this file's own position is.
        with open(f"/proc/self/fd/{self.log.fileno()}", encoding="utf-8") as log:
            return log.read()

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

    def metrics(self):
        """{series with its labels: value} of one scrape."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.status_port}/metrics", timeout=5) as reply:
            lines = reply.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

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


def call(server, target, command, *arguments, text=""):
    """attnctl against the proxy rather than the server: (exit code, standard output, standard error)."""
    done = subprocess.run(
        [server.attnctl_path, command, "--target", target, *arguments],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )
    return done.returncode, done.stdout, done.stderr


def exchange(port, frames, seconds=2.0, source="127.0.0.1"):
    """What comes back for these bytes within that time, or until the other side closes."""
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as connection:
            connection.settimeout(seconds)
            connection.sendall(h2.PREFACE + h2.settings() + frames)
            while chunk := connection.recv(1 << 16):
                received += chunk
    except (TimeoutError, ConnectionError):
        pass
    return received
