"""deploy/kubernetes and deploy/helm rendered by kustomize and helm: valid by Kubernetes' own schemas, within the
restricted profile, consistent in themselves, and their numbers those that `attnd --help` prints.

    manifests_test.py BUILD MODEL [UNITTEST ARGUMENTS...]
"""

import json
import os
import re
import subprocess
import sys
import unittest

import yaml

import defaults
import proxy

DEPLOY = os.path.join(proxy.ROOT, "deploy")
BASE = os.path.join(DEPLOY, "kubernetes", "base")
QUEUE = os.path.join(DEPLOY, "kubernetes", "overlays", "queue-tokens")
EXAMPLE = os.path.join(DEPLOY, "kubernetes", "overlays", "example")
CHART = os.path.join(DEPLOY, "helm", "attnd")
SCHEMAS = os.path.join(proxy.ROOT, "third_party", "kubernetes-schemas")
SCHEMA = SCHEMAS + "/{{.NormalizedKubernetesVersion}}{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json"
VERSIONS = ("1.29.0", "1.37.0")
WITH_QUEUE = ("autoscaling.queueTokens=4096", "imagePullSecrets[0].name=pull")
CHART_VARIANTS = (
    (),
    ("proxy.tlsSecret=attnd-tls", "proxy.settings.SOURCE_REQUESTS=20000", "image.digest=sha256:0"),
    ("autoscaling.enabled=false", "networkPolicy.enabled=false", "args={--queue-tokens=32768}"),
    WITH_QUEUE,
)
BUILD = None


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def rendered_chart(values, release="attnd"):
    arguments = [part for value in values for part in ("--set", value)]
    return output_of("helm", "template", release, CHART, "--kube-version", VERSIONS[0], *arguments)


def parse(text):
    return [document for document in yaml.safe_load_all(text) if document]


def find(documents, kind, name):
    return next(d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)


def pod(documents, name):
    return find(documents, "Deployment", name)["spec"]["template"]["spec"]


def argument(container, flag):
    """The value of a flag of attnd's in the container's arguments; None without it."""
    found = [text.split("=", 1)[1] for text in container["args"] if text.startswith(f"--{flag}=")]
    return found[-1] if found else None


def conformity(text, version):
    return subprocess.run(
        ["kubeconform", "-strict", "-summary", "-kubernetes-version", version, "-schema-location", SCHEMA, "-"],
        input=text, capture_output=True, text=True, timeout=60, check=False,
    )


class Rendered(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.texts = {path: output_of("kustomize", "build", path) for path in (BASE, EXAMPLE, QUEUE)}
        cls.texts.update({f"chart {values}": rendered_chart(values) for values in CHART_VARIANTS})
        cls.all = {name: parse(text) for name, text in cls.texts.items()}
        cls.base = cls.all[BASE]
        cls.chart = cls.all["chart ()"]

    def each(self, kind):
        """[(where, document)] of all documents of that kind; there are some."""
        found = [(name, d) for name, documents in self.all.items() for d in documents if d["kind"] == kind]
        self.assertTrue(found)
        return found


class Schemas(Rendered):
    def test_all_are_valid(self):
        for name, text in self.texts.items():
            for version in VERSIONS:
                checked = conformity(text, version)
                self.assertEqual(checked.returncode, 0, (name, version, checked.stdout))
                self.assertIn("Invalid: 0, Errors: 0, Skipped: 0", checked.stdout)

    def test_a_field_that_kubernetes_does_not_know_is_found(self):
        for field, wrong in (("terminationGracePeriodSeconds", "terminationGracePeriod"), ("periodSeconds", "period")):
            checked = conformity(self.texts[BASE].replace(field, wrong), VERSIONS[0])
            self.assertNotEqual(checked.returncode, 0)
            self.assertIn("not allowed", checked.stdout)

    def test_a_value_that_the_chart_does_not_know_is_refused(self):
        for value in ("proxy.tlsSecert=attnd-tls", "autoscaling.maxReplicas=33", "resources.memory=lots"):
            with self.assertRaises(subprocess.CalledProcessError) as failed:
                rendered_chart((value,))
            self.assertIn("values don't meet the specifications of the schema", failed.exception.stderr)

    def test_the_chart_has_no_finding_of_lint(self):
        linted = output_of("helm", "lint", "--strict", "--kube-version", VERSIONS[0], CHART)
        self.assertIn("0 chart(s) failed", linted)


class Restricted(Rendered):
    def test_pods_fit_the_restricted_profile(self):
        for _, deployment in self.each("Deployment"):
            spec = deployment["spec"]["template"]["spec"]
            self.assertEqual(spec["securityContext"]["runAsUser"], 65532)
            self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertIs(spec["enableServiceLinks"], False)
            self.assertFalse({"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec))
            for container in spec["containers"]:
                security = container["securityContext"]
                self.assertIs(security["allowPrivilegeEscalation"], False)
                self.assertIs(security["readOnlyRootFilesystem"], True)
                self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
                self.assertFalse([port for port in container["ports"] if "hostPort" in port])
                self.assertTrue(all(mount["readOnly"] for mount in container["volumeMounts"]))

    def test_accounts_have_no_token(self):
        for _, account in self.each("ServiceAccount"):
            self.assertIs(account["automountServiceAccountToken"], False)

    def test_the_namespace_enforces_it(self):
        labels = find(self.all[EXAMPLE], "Namespace", "attnd")["metadata"]["labels"]
        self.assertEqual(labels["pod-security.kubernetes.io/enforce"], "restricted")

    def test_requests_are_limits_and_everything_has_some(self):
        for _, deployment in self.each("Deployment"):
            for container in deployment["spec"]["template"]["spec"]["containers"]:
                self.assertEqual(set(container["resources"]["limits"]), {"cpu", "memory"})
                self.assertEqual(container["resources"]["requests"], container["resources"]["limits"])


class Model(Rendered):
    def test_the_volume_can_be_filled_and_attnd_only_reads_it(self):
        claim = find(self.all[EXAMPLE], "PersistentVolumeClaim", "attnd-model")
        self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteMany"])
        for name, documents in self.all.items():
            spec = pod(documents, "attnd")
            volume, = (v for v in spec["volumes"] if v["name"] == "model")
            self.assertEqual(volume["persistentVolumeClaim"], {"claimName": "attnd-model", "readOnly": True}, name)
            mount, = (m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "model")
            self.assertEqual(mount, {"name": "model", "mountPath": "/model", "readOnly": True}, name)


class Compose(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(DEPLOY, "compose.yaml"), encoding="utf-8") as file:
            self.services = yaml.safe_load(file)["services"]

    def test_what_ends_is_started_again(self):
        self.assertEqual(set(self.services), {"attnd", "proxy", "prometheus", "grafana"})
        for name, service in self.services.items():
            # The proxy is signalled to reload, which unless-stopped takes for a stop by hand.
            self.assertEqual(service.get("restart"), "always" if name == "proxy" else "unless-stopped", name)

    def test_grafana_has_viewers_and_no_accounts(self):
        self.assertEqual(self.services["grafana"]["environment"], {
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
            "GF_AUTH_DISABLE_LOGIN_FORM": "true",
            "GF_AUTH_BASIC_ENABLED": "false",
            "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
        })

    def test_only_the_loopback_is_published(self):
        ports = [port for service in self.services.values() for port in service.get("ports", [])]
        self.assertEqual([port for port in ports if not port.startswith("127.0.0.1:")], [])
        self.assertNotIn("ports", self.services["attnd"])


class Consistent(Rendered):
    def selected(self, documents, labels):
        """The deployments whose pods have these labels."""
        return [d["metadata"]["name"] for d in documents if d["kind"] == "Deployment"
                and labels.items() <= d["spec"]["template"]["metadata"]["labels"].items()]

    def test_every_selector_selects_one_deployment(self):
        for name, service in self.each("Service"):
            self.assertEqual(self.selected(self.all[name], service["spec"]["selector"]), [service["metadata"]["name"]])
        for kind in ("Deployment", "PodDisruptionBudget"):
            for name, document in self.each(kind):
                found = self.selected(self.all[name], document["spec"]["selector"]["matchLabels"])
                self.assertEqual(found, [document["metadata"]["name"]])
        for name, policy in self.each("NetworkPolicy"):
            found = self.selected(self.all[name], policy["spec"]["podSelector"]["matchLabels"])
            self.assertEqual(found, [policy["metadata"]["name"]])

    def test_ports_that_are_named_or_probed_exist(self):
        for name, deployment in self.each("Deployment"):
            container = deployment["spec"]["template"]["spec"]["containers"][0]
            numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                for how, target in container.get(probe, {}).items():
                    if how in ("grpc", "httpGet"):
                        self.assertIn(target["port"], list(numbers) if how == "httpGet" else list(numbers.values()))
            service = find(self.all[name], "Service", deployment["metadata"]["name"])
            self.assertLessEqual({port["targetPort"] for port in service["spec"]["ports"]}, set(numbers))

    def test_the_service_is_h2c_where_the_proxy_speaks_no_tls(self):
        said = set()
        for name, service in self.each("Service"):
            if service["metadata"]["name"] == "attnd-proxy":
                environment = pod(self.all[name], "attnd-proxy")["containers"][0]["env"]
                tls = "ATTND_PROXY_TLS" in [item["name"] for item in environment]
                port, = service["spec"]["ports"]
                self.assertEqual(port.get("appProtocol"), None if tls else "kubernetes.io/h2c", name)
                said.add(tls)
        self.assertEqual(said, {True, False})

    def test_a_certificate_that_changes_is_mounted_whole_and_named_to_whoever_restarts_the_proxy(self):
        seen = 0
        for name, deployment in self.each("Deployment"):
            named = deployment["metadata"].get("annotations", {}).get("secret.reloader.stakater.com/reload")
            spec = deployment["spec"]["template"]["spec"]
            secrets = [volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume]
            self.assertEqual([named] if named else [], secrets, name)
            mounts = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "tls"]
            self.assertEqual(len(mounts), len(secrets))
            # A subPath would stay as it was at the start.
            self.assertFalse([mount for mount in mounts if "subPath" in mount])
            seen += len(secrets)
        self.assertEqual(seen, 2)

    def test_policies_let_the_proxy_reach_attnd_and_no_other(self):
        for name, policy in self.each("NetworkPolicy"):
            self.assertEqual(set(policy["spec"]["policyTypes"]), {"Ingress", "Egress"})
            if policy["metadata"]["name"] != "attnd":
                continue
            self.assertFalse(policy["spec"].get("egress"))
            peers = {rule["ports"][0]["port"]: rule["from"] for rule in policy["spec"]["ingress"]}
            self.assertEqual(set(peers), {"grpc", "metrics"})
            labels = peers["grpc"][0]["podSelector"]["matchLabels"]
            self.assertEqual(self.selected(self.all[name], labels), ["attnd-proxy"])

    def test_the_proxy_reaches_attnd_and_a_dns_that_may_be_anywhere(self):
        names = {(port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")}
        for _, policy in self.each("NetworkPolicy"):
            if policy["metadata"]["name"] == "attnd-proxy":
                calls, dns = policy["spec"]["egress"]
                self.assertEqual([port["port"] for port in calls["ports"]], ["grpc"])
                self.assertNotIn("to", dns)
                self.assertEqual({(port["port"], port["protocol"]) for port in dns["ports"]}, names)

    def test_attnd_is_found_by_the_proxy(self):
        for name, deployment in self.each("Deployment"):
            if deployment["metadata"]["name"] != "attnd-proxy":
                continue
            spec = deployment["spec"]["template"]["spec"]
            environment = {item["name"]: item.get("value") for item in spec["containers"][0]["env"]}
            host, port = environment["ATTND_PROXY_DNS"].split(":")
            service = find(self.all[name], "Service", host.split(".")[0])
            self.assertEqual(service["spec"]["clusterIP"], "None")
            self.assertIn(int(port), [item["port"] for item in service["spec"]["ports"]])
            maps = [volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume]
            with open(proxy.CONFIG, encoding="utf-8") as config:
                wanted = config.read().rstrip("\n")
            mounted = find(self.all[name], "ConfigMap", maps[0])["data"]["haproxy.cfg"]
            self.assertEqual(mounted.rstrip("\n"), wanted)

    def test_the_chart_gives_the_same_pods_as_the_manifests(self):
        for name in ("attnd", "attnd-proxy"):
            pair = [pod(documents, name) for documents in (self.base, self.chart)]
            for spec in pair:
                spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].pop(
                    "app.kubernetes.io/instance", None)
                for volume in spec["volumes"]:
                    if "configMap" in volume:
                        volume["configMap"]["name"] = "..."  # kustomize adds a hash
                container = spec["containers"][0]
                container["args"] = [a for a in container.get("args", []) if not re.match("--(shutdown|drain)-", a)]
            self.assertEqual(pair[0], pair[1])
        for names in ((BASE, "chart ()"), (QUEUE, f"chart {WITH_QUEUE}")):
            pair = [find(self.all[name], "HorizontalPodAutoscaler", "attnd")["spec"] for name in names]
            self.assertEqual(pair[0], pair[1])

    def test_a_second_release_selects_its_own_pods(self):
        other = parse(rendered_chart((), release="other"))
        labels = find(other, "Service", "other")["spec"]["selector"]
        self.assertEqual(self.selected(other, labels), ["other"])
        self.assertEqual(self.selected(self.chart, labels), [])


class Numbers(Rendered):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.defaults = defaults.defaults(f"{BUILD}/server/attnd")
        with open(proxy.CONFIG, encoding="utf-8") as config:
            cls.haproxy = config.read()

    def seconds(self, flag):
        return defaults.seconds(self.defaults[flag])

    def number(self, pattern):
        return re.search(pattern, self.haproxy, re.MULTILINE).group(1)

    def test_the_grace_period_is_delay_drain_and_margin(self):
        for _, deployment in self.each("Deployment"):
            spec = deployment["spec"]["template"]["spec"]
            grace = spec["terminationGracePeriodSeconds"]
            container = spec["containers"][0]
            if container["name"] == "attnd":
                delay, drain = (defaults.seconds(argument(container, flag) or self.defaults[flag])
                                for flag in ("shutdown-delay", "drain-timeout"))
                self.assertNotIn("lifecycle", container)
                self.assertEqual(grace, delay + drain + 10)
            else:
                sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
                stop = defaults.seconds(self.number(r"^  hard-stop-after (\S+)"))
                self.assertGreaterEqual(grace, sleep + stop + 5)
                self.assertGreater(stop, self.seconds("deadline-cap"))

    def test_the_listening_ports_are_attnds_own(self):
        container = pod(self.base, "attnd")["containers"][0]
        for flag, name in (("listen", "grpc"), ("metrics-listen", "metrics")):
            port = int(self.defaults[flag].rsplit(":", 1)[1])
            self.assertEqual(argument(container, flag), f"0.0.0.0:{port}")
            self.assertIn({"name": name, "containerPort": port}, container["ports"])

    def test_scaling_needs_no_adapter_unless_one_asks_for_it(self):
        with_pods = {name for name, scaler in self.each("HorizontalPodAutoscaler")
                     if [metric["type"] for metric in scaler["spec"]["metrics"]] != ["Resource"]}
        self.assertEqual(with_pods, {QUEUE, f"chart {WITH_QUEUE}"})

    def test_scaling_by_the_queue_begins_before_refusing(self):
        for name in (QUEUE, f"chart {WITH_QUEUE}"):
            waiting, cpu = find(self.all[name], "HorizontalPodAutoscaler", "attnd")["spec"]["metrics"]
            self.assertEqual((waiting["type"], cpu["type"]), ("Pods", "Resource"))
            self.assertEqual(waiting["pods"]["metric"]["name"], "attnd_queue_tokens")
            target = int(waiting["pods"]["target"]["averageValue"])
            self.assertEqual(target, int(self.defaults["batch-tokens"]))
            self.assertLessEqual(4 * target, int(self.defaults["queue-tokens"]))

    def test_scaling_stays_within_the_places_of_the_proxy(self):
        for name, scaler in self.each("HorizontalPodAutoscaler"):
            spec = scaler["spec"]
            places = int(self.number(r"^  server-template attnd (\d+)"))
            self.assertLessEqual(spec["maxReplicas"], places)
            self.assertGreaterEqual(spec["minReplicas"], 2)
            self.assertNotIn("replicas", find(self.all[name], "Deployment", "attnd")["spec"])

    def test_memory_holds_what_the_limits_allow(self):
        limits = pod(self.base, "attnd")["containers"][0]["resources"]["limits"]
        self.assertGreaterEqual(defaults.tebi(limits["memory"]), int(self.defaults["held-bytes"]) + (384 << 20))
        proxy_container = pod(self.base, "attnd-proxy")["containers"][0]
        allowed = int(proxy_container["command"][proxy_container["command"].index("-m") + 1]) << 20
        self.assertGreaterEqual(defaults.tebi(proxy_container["resources"]["limits"]["memory"]), allowed + (32 << 20))

    def test_the_proxys_limits_are_attnds(self):
        self.assertEqual(self.number(r"^  tune.h2.max-concurrent-streams (\d+)"), self.defaults["connection-streams"])
        self.assertEqual(self.number(r"proto h2 maxconn (\d+)"), self.defaults["queue-requests"])
        self.assertEqual(2 * int(self.number(r"SOURCE_CALLS-(\d+)")), int(self.defaults["queue-requests"]))
        for pattern, flag in (("http-request", "handshake-timeout"), ("http-keep-alive", "connection-idle-max")):
            self.assertEqual(defaults.seconds(self.number(rf"^  timeout {pattern} (\S+)")), self.seconds(flag))

    def test_the_proxy_waits_longer_than_attnd_takes(self):
        self.assertGreater(defaults.seconds(self.number(r"^  timeout server (\S+)")), self.seconds("deadline-cap"))
        watch = defaults.seconds(self.number(r"set-timeout server (\S+)"))
        self.assertGreaterEqual(watch, self.seconds("connection-age-max") + self.seconds("connection-age-grace"))
        interval, falls = re.search(r"check inter (\d+)s fall (\d+)", self.haproxy).groups()
        self.assertLess(int(interval) * (int(falls) + 1), self.seconds("shutdown-delay"))

    def test_every_setting_of_the_proxy_is_documented_and_known_to_the_chart(self):
        used = set(re.findall(r"\bATTND_PROXY_(\w+)\b", self.haproxy))
        self.assertGreater(len(used), 8)
        with open(os.path.join(DEPLOY, "README.md"), encoding="utf-8") as file:
            rows = dict(re.findall(r"^\| `ATTND_PROXY_(\w+)` \| ([^|]+) \|", file.read(), re.MULTILINE))
        self.assertEqual(set(rows), used)
        numbers = dict(re.findall(r"\$\{ATTND_PROXY_(\w+)-(\d+)\}", self.haproxy))
        self.assertEqual({name: rows[name] for name in numbers}, numbers)
        with open(os.path.join(CHART, "values.schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        self.assertEqual(set(schema["properties"]["proxy"]["properties"]["settings"]["properties"]), set(numbers))

    def test_compose_leaves_time_to_drain(self):
        with open(os.path.join(DEPLOY, "compose.yaml"), encoding="utf-8") as file:
            services = yaml.safe_load(file)["services"]
        grace = {name: defaults.seconds(services[name]["stop_grace_period"]) for name in ("attnd", "proxy")}
        self.assertGreaterEqual(grace["attnd"], self.seconds("shutdown-delay") + self.seconds("drain-timeout") + 10)
        self.assertGreaterEqual(grace["proxy"], defaults.seconds(self.number(r"^  hard-stop-after (\S+)")) + 10)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BUILD = sys.argv[1]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
