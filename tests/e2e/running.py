"""A real attnd on ports that the kernel picks, and attnctl against it."""

import re
import signal
import subprocess
import threading
import urllib.request

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
COMMAND_SECONDS_MAX = 120


class Attnd:
    """Started on entry, ready when its log says so; killed on exit if the test has not stopped it."""

    def __init__(self, build, model, *arguments):
        self.attnctl_path = f"{build}/client/attnctl"
        self.command = [f"{build}/server/attnd", "--model", model, "--listen", "127.0.0.1:0"]
        self.command += ["--metrics-listen", "127.0.0.1:0", "--shutdown-delay", "0s", *arguments]
        self.log = []
        self.ports = {}
        self.ready = threading.Event()

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read_log)
        self.reader.start()
        if not self.ready.wait(START_SECONDS_MAX) or "serving" not in self.ports:
            self.__exit__()
            raise RuntimeError("attnd did not start:\n" + "".join(self.log))
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            match = re.search(r"(serving|metrics): port (\d+)", line)
            if match:
                self.ports[match.group(1)] = int(match.group(2))
            if "serving" in self.ports:
                self.ready.set()
        self.ready.set()

    @property
    def target(self):
        return f"127.0.0.1:{self.ports['serving']}"

    def attnctl(self, command, *arguments, text=""):
        """(exit code, standard output, standard error) of one attnctl."""
        done = subprocess.run(
            [self.attnctl_path, command, "--target", self.target, *arguments],
            input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def metrics(self):
        """{series with its labels: value} of one scrape."""
        url = f"http://127.0.0.1:{self.ports['metrics']}/metrics"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def stop(self):
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS_MAX)
