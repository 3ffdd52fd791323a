"""deploy/prometheus.yml and its rules: valid, tested by promtool in both directions, about metrics that a running attnd
exports, with a runbook for each alert; and a real Prometheus that scrapes attnd and HAProxy with them, and answers
every query of the dashboard.

    prometheus_test.py BUILD MODEL [UNITTEST ARGUMENTS...]
"""

import contextlib
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

import yaml

import defaults
import proxy

sys.path.insert(0, os.path.join(proxy.ROOT, "tests", "e2e"))
import running  # noqa: E402

DEPLOY = os.path.join(proxy.ROOT, "deploy")
CONFIG = os.path.join(DEPLOY, "prometheus.yml")
RULES = os.path.join(DEPLOY, "prometheus")
RUNBOOKS = os.path.join(DEPLOY, "runbooks")
BUILD, MODEL = None, None
# Of attnd, of its process, of HAProxy, and recorded by a rule.
METRIC = re.compile(r"\b(attnd[_:][a-z0-9_:]+|haproxy_[a-z_]+|process_[a-z_]+)\b")


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def rules():
    """All rules of deploy/prometheus."""
    files = sorted(glob.glob(os.path.join(RULES, "*.rules.yml")))
    return [rule for path in files for group in load(path)["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def panel_queries():
    """(panel's title, query) of the dashboard."""
    with open(os.path.join(DEPLOY, "grafana", "dashboards", "attnd.json"), encoding="utf-8") as file:
        return [(panel["title"], target["expr"]) for panel in json.load(file)["panels"] for target in panel["targets"]]


def promtool(*arguments):
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False)


def run_rule_tests(folder):
    return promtool("test", "rules", *sorted(glob.glob(os.path.join(folder, "tests", "*.test.yml"))))


class Rules(unittest.TestCase):
    def test_the_configuration_and_its_rules_are_valid(self):
        checked = promtool("check", "config", CONFIG)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn("3 rule files found", checked.stdout + checked.stderr)

    def test_promtool_finds_alerts_fire_and_stay_quiet_as_said(self):
        tested = run_rule_tests(RULES)
        self.assertEqual(tested.returncode, 0, tested.stdout + tested.stderr)

    def with_every_alert_as(self, expression):
        """What promtool says of the same tests when all alerts have that expression."""
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copytree(RULES, os.path.join(folder, "prometheus"))
            path = os.path.join(copy, "alerts.rules.yml")
            changed = load(path)
            for group in changed["groups"]:
                for rule in group["rules"]:
                    rule["expr"] = expression
            with open(path, "w", encoding="utf-8") as file:
                yaml.safe_dump(changed, file)
            tested = run_rule_tests(copy)
            self.assertNotEqual(tested.returncode, 0)
            return set(re.findall(r"alertname: ?(\w+)", tested.stdout + tested.stderr))

    def test_each_alert_has_a_test_that_fires(self):
        # The control: an alert that never fires fails a test of each name.
        self.assertEqual(self.with_every_alert_as("vector(0) > 1"), {rule["alert"] for rule in alerts()})

    def test_each_alert_has_a_test_that_stays_quiet(self):
        # Always firing, it fails those with and without expected alerts alike; so the tests are counted as well.
        self.assertEqual(self.with_every_alert_as("vector(1)"), {rule["alert"] for rule in alerts()})
        quiet = {test["alertname"] for path in glob.glob(os.path.join(RULES, "tests", "*.test.yml"))
                 for case in load(path)["tests"] for test in case["alert_rule_test"] if not test["exp_alerts"]}
        self.assertEqual(quiet, {rule["alert"] for rule in alerts()})

    def test_each_alert_has_a_severity_and_a_runbook_of_its_name(self):
        for rule in alerts():
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"))
            self.assertEqual(rule["annotations"]["runbook_url"], f"deploy/runbooks/{rule['alert']}.md")
            with open(os.path.join(RUNBOOKS, f"{rule['alert']}.md"), encoding="utf-8") as file:
                text = file.read()
            self.assertTrue(text.startswith(f"# {rule['alert']}\n"))
            self.assertIn("\n## Look\n", text)
            self.assertIn("\n## Do\n", text)
        self.assertEqual({f"{rule['alert']}.md" for rule in alerts()}, set(os.listdir(RUNBOOKS)))

    def test_links_between_runbooks_lead_somewhere(self):
        for name in os.listdir(RUNBOOKS):
            with open(os.path.join(RUNBOOKS, name), encoding="utf-8") as file:
                for link in re.findall(r"\]\(([^)]+)\)", file.read()):
                    self.assertTrue(os.path.exists(os.path.join(RUNBOOKS, link)), (name, link))


class Limits(unittest.TestCase):
    def recorded(self, name):
        expression = next(rule["expr"] for rule in rules() if rule.get("record") == name)
        return int(re.fullmatch(r"vector\((\d+)\)", expression).group(1))

    def test_limits_are_those_of_attnd_and_its_containers(self):
        known = defaults.defaults(f"{BUILD}/server/attnd")
        self.assertEqual(self.recorded("attnd:queue_tokens_limit"), int(known["queue-tokens"]))
        self.assertEqual(self.recorded("attnd:queue_wait_limit_seconds"), defaults.seconds(known["queue-wait"]))
        memory, cores = self.recorded("attnd:memory_limit_bytes"), self.recorded("attnd:cpu_limit_cores")
        compose = load(os.path.join(DEPLOY, "compose.yaml"))["services"]["attnd"]
        self.assertEqual(defaults.tebi(compose["mem_limit"]), memory)
        self.assertEqual(int(compose["cpus"]), cores)
        chart = load(os.path.join(DEPLOY, "helm", "attnd", "values.yaml"))["resources"]
        self.assertEqual((defaults.tebi(chart["memory"]), int(chart["cpu"])), (memory, cores))

    def test_what_compose_mounts_and_starts_is_there(self):
        services = load(os.path.join(DEPLOY, "compose.yaml"))["services"]
        sources = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
        files = [source for source in sources if source.startswith("./")]
        self.assertGreaterEqual(len(files), 5)
        for source in files:
            self.assertTrue(os.path.exists(os.path.join(DEPLOY, source)), source)
        targets = [target for job in load(CONFIG)["scrape_configs"] for target in job["static_configs"][0]["targets"]]
        self.assertEqual([target.split(":")[0] for target in targets], ["attnd", "proxy"])
        self.assertLessEqual({"attnd", "proxy"}, set(services))


class Kubernetes(unittest.TestCase):
    """The scrape jobs that deploy/README.md gives for Kubernetes."""

    def setUp(self):
        with open(os.path.join(DEPLOY, "README.md"), encoding="utf-8") as file:
            block, = re.findall(r"^```yaml\n(- job_name: .*?)^```", file.read(), re.MULTILINE | re.DOTALL)
        self.jobs = yaml.safe_load(block)

    def test_are_valid_and_as_many_as_in_the_configuration(self):
        # Debian's promtool knows no kubernetes_sd_configs; it checks all the rest.
        jobs = [dict(job) for job in self.jobs]
        for job in jobs:
            self.assertEqual(job.pop("kubernetes_sd_configs"), [{"role": "pod"}])
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"scrape_configs": jobs}, file)
            checked = promtool("check", "config", file.name)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        # Rules over two minutes need some samples in them, also when one is missed.
        self.assertEqual({job["scrape_interval"] for job in self.jobs}, {"15s"})
        names = [[job["job_name"] for job in given] for given in (self.jobs, load(CONFIG)["scrape_configs"])]
        self.assertEqual(names[0], names[1])

    def test_keep_what_the_manifests_have(self):
        kept = {}
        for job in self.jobs:
            rules_of = job["relabel_configs"]
            kept[job["job_name"]] = tuple(rule["regex"] for rule in rules_of if rule.get("action") == "keep")
        found = {}
        for name, port in (("attnd", "metrics"), ("proxy", "status")):
            with open(os.path.join(DEPLOY, "kubernetes", "base", f"{name}.yaml"), encoding="utf-8") as file:
                template = next(d for d in yaml.safe_load_all(file) if d["kind"] == "Deployment")["spec"]["template"]
            self.assertIn(port, [item["name"] for item in template["spec"]["containers"][0]["ports"]])
            label = template["metadata"]["labels"]["app.kubernetes.io/name"]
            found[label] = (label, port)
        self.assertEqual(kept, found)


class Scraped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(running.Attnd(BUILD, MODEL))
        through = cls.enterClassContext(proxy.Proxy(cls.server.ports["serving"]))
        cls.series = [*cls.server.metrics(), *through.metrics()]

    def values(self, label):
        return {match for name in self.series for match in re.findall(rf'{label}="([^"]*)"', name)}

    def test_rules_and_runbooks_name_only_metrics_that_exist(self):
        exported = {name.split("{")[0] for name in self.series}
        known = exported | {rule["record"] for rule in rules() if "record" in rule}
        texts = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}
        for name in os.listdir(RUNBOOKS):
            with open(os.path.join(RUNBOOKS, name), encoding="utf-8") as file:
                texts[name] = file.read()
        used = {where: set(METRIC.findall(text)) for where, text in texts.items()}
        self.assertGreater(len(set().union(*used.values())), 20)
        for where, names in used.items():
            self.assertLessEqual(names, known, where)

    def test_labels_in_rules_have_values_that_exist(self):
        found = {"code": set(), "reason": set(), "method": set(), "proxy": set(), "result": set()}
        for rule in rules():
            for label, names in found.items():
                for value in re.findall(rf'\b{label}(?:=|!=|=~)"([^"]*)"', rule["expr"]):
                    names.update(value.split("|"))
        for label, names in found.items():
            self.assertTrue(names, label)
            self.assertLessEqual(names, self.values(label), label)

    def test_promtool_has_nothing_to_say_about_the_names(self):
        url = f"http://127.0.0.1:{self.server.ports['metrics']}/metrics"
        with opener().open(url, timeout=10) as reply:
            text = reply.read().decode()
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                                 timeout=20, check=False)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))


def opener():
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus:
    """A real one with deploy/prometheus.yml, its targets and intervals replaced, in a folder of its own."""

    def __init__(self, targets):
        self.targets = targets
        self.port = proxy.free_port()
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        shutil.copytree(RULES, os.path.join(folder, "prometheus"))
        config = load(CONFIG)
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        for job in config["scrape_configs"]:
            job["static_configs"][0]["targets"] = [self.targets[job["job_name"]]]
        with open(os.path.join(folder, "prometheus.yml"), "w", encoding="utf-8") as file:
            yaml.safe_dump(config, file)
        self.log = self.stack.enter_context(tempfile.TemporaryFile(mode="w+"))
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=self.log, stderr=subprocess.STDOUT)
        self.stack.callback(self.stop)
        return self

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __exit__(self, *unused):
        self.stack.close()

    def api(self, path, **query):
        """The data of a reply; None while Prometheus does not answer."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with opener().open(url, timeout=5) as reply:
                return json.load(reply)["data"]
        except OSError:
            return None


class Running(unittest.TestCase):
    def test_a_prometheus_scrapes_both_and_evaluates_every_rule(self):
        server = self.enterContext(running.Attnd(BUILD, MODEL))
        through = self.enterContext(proxy.Proxy(server.ports["serving"]))
        targets = {"attnd": f"127.0.0.1:{server.ports['metrics']}", "attnd-proxy": f"127.0.0.1:{through.status_port}"}
        with Prometheus(targets) as prometheus:

            def all_up():
                found = prometheus.api("targets", state="active")
                return found is not None and [t["health"] for t in found["activeTargets"]] == ["up", "up"]

            def requests_counted():
                self.assertEqual(server.attnctl("encode", "hello")[0], 0)
                found = prometheus.api("query", query="sum(attnd:requests:rate5m) > 0")
                return bool(found and found["result"])

            def evaluated():
                found = prometheus.api("rules")
                everything = [rule for group in found["groups"] for rule in group["rules"]] if found else []
                return len(everything) == len(rules()) and all(rule["health"] == "ok" for rule in everything)

            proxy.wait_until(all_up, 30, "both targets are up")
            proxy.wait_until(requests_counted, 30, "requests are in a recorded rate")
            proxy.wait_until(evaluated, 30, "every rule has been evaluated without an error")
            for title, query in panel_queries():
                # Known to Prometheus, with something to show after the requests above.
                proxy.wait_until(lambda asked=query: (prometheus.api("query", query=asked) or {}).get("result"),
                                 20, f"{title}: {query}")
            active = [alert["labels"]["alertname"] for alert in prometheus.api("alerts")["alerts"]]
            self.assertEqual(active, [])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BUILD, MODEL = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
