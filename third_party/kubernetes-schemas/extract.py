#!/usr/bin/env python3
"""Writes the schemas that deploy/ needs, out of the PyPI package kubernetes-validate, beside this file.

    pip download --no-deps kubernetes-validate==1.37.0
    third_party/kubernetes-schemas/extract.py kubernetes_validate-1.37.0-py3-none-any.whl

The strict kind: a field that Kubernetes does not know is an error. Descriptions are left out, and so is every definition
that no kind below refers to.
"""

import json
import os
import re
import sys
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
# The oldest and the newest release that the manifests are checked against.
VERSIONS = ("1.29.0", "1.37.0")
KINDS = (
    "configmap-v1", "deployment-apps-v1", "horizontalpodautoscaler-autoscaling-v2", "namespace-v1",
    "networkpolicy-networking-v1", "persistentvolumeclaim-v1", "poddisruptionbudget-policy-v1", "service-v1",
    "serviceaccount-v1",
)
SHARED = "/api/_definitions.json"  # where the package's kinds look for definitions; here each file has its own
PREFIX = "#/$defs/"


def without_descriptions(value):
    """A field of the name `description` has a schema, not a text, and stays."""
    if isinstance(value, list):
        return [without_descriptions(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without_descriptions(item) for key, item in value.items()
            if not (key == "description" and isinstance(item, str))}


def references(value):
    return set(re.findall(re.escape(PREFIX) + r'([^"]+)"', json.dumps(value)))


def reachable(root, definitions):
    """The definitions that the root refers to, however far."""
    found, waiting = {}, references(root)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions[name]
            waiting |= references(definitions[name])
    return found


def write(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.write("\n")


def main(wheel):
    with zipfile.ZipFile(wheel) as package:
        for version in VERSIONS:
            origin = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"
            folder = os.path.join(HERE, f"v{version}-strict")
            os.makedirs(folder, exist_ok=True)
            definitions = without_descriptions(json.loads(package.read(f"{origin}/_definitions.json")))["$defs"]
            for kind in KINDS:
                text = package.read(f"{origin}/{kind}.json").decode().replace(SHARED, "")
                schema = without_descriptions(json.loads(text))
                del schema["$id"]
                schema["$defs"] = reachable(schema, definitions)
                write(os.path.join(folder, f"{kind}.json"), schema)
        with open(os.path.join(HERE, "LICENSE"), "wb") as file:
            file.write(next(package.read(n) for n in package.namelist() if n.endswith("licenses/LICENSE")))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
