#!/usr/bin/env python3
"""Generates the chart's derived files, or fails if one is stale.

  tests/deploy/helm/generate.py            fails if a file is stale
  tests/deploy/helm/generate.py --write    writes them

- values.schema.json: its structure from values.yaml, the types of `settings` from the program's list of settings
- README.md: the tables of the values sets and of the values, from the comments in these files
- files/secret-settings.txt: the settings that are secrets, which the templates reject
"""

import json
import re
import sys

import yaml

from settings_list import ROOT, chart_settings

CHART = ROOT / "deploy/helm/blogctl"
GUID = "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
COUNT = {"type": "integer", "minimum": 0}
OBJECT, OBJECTS, TEXTS = {"type": "object"}, {"type": "array", "items": {"type": "object"}}, {"type": "array", "items": {"type": "string"}}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
SECONDS = {"type": "integer", "minimum": 0, "maximum": 3600}
PROBE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        name: {"type": "integer", "minimum": 0 if name == "initialDelaySeconds" else 1}
        for name in ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold")
    },
}

# Values whose default does not show what they accept. The longest matching end of a path wins; `settings` is generated.
OVERRIDES = {
    "annotations": STRINGS,
    "podAnnotations": STRINGS,
    "podLabels": STRINGS,
    "labels": STRINGS,
    "commonLabels": STRINGS,
    "commonAnnotations": STRINGS,
    "nodeSelector": STRINGS,
    "resources": OBJECT,
    "affinity": OBJECT,
    "behavior": OBJECT,
    "timeouts": {"type": "object", "additionalProperties": False, "properties": {"request": {"type": "string"}, "backendRequest": {"type": "string"}}},
    "issuerRef": {"type": "object", "additionalProperties": False, "properties": {"name": {"type": "string"}, "kind": {"enum": ["Issuer", "ClusterIssuer"]}, "group": {"type": "string"}}},
    "podSecurityContext": OBJECT,
    "containerSecurityContext": OBJECT,
    "hosts": TEXTS,
    "hostnames": TEXTS,
    "extraDnsNames": TEXTS,
    "topologySpreadConstraints": {"type": ["array", "null"], "items": {"type": "object"}},
    "extraObjects": {"type": "array", "items": {"type": ["object", "string"]}},
    "database.ports": {"type": "array", "items": PORT, "minItems": 1},
    "redis.ports": {"type": "array", "items": PORT, "minItems": 1},
    "metrics.port": {"type": "integer", "minimum": 1024, "maximum": 65535},
    "service.port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
    "service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "image.repository": {"type": "string", "pattern": "^([a-z0-9.:/_-]+)?$"},
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "replicas": {"type": "integer", "minimum": 0},
    "minReplicas": {"type": "integer", "minimum": 1},
    "maxReplicas": {"type": "integer", "minimum": 1},
    "cpuPercent": {"type": "integer", "minimum": 0, "maximum": 1000},
    "requestsInFlight.target": {"type": "integer", "minimum": 1},
    "maxUnavailable": {"type": ["integer", "string"], "pattern": "^[0-9]{1,2}%$", "minimum": 1},
    "preStopSleepSeconds": SECONDS,
    "terminationGracePeriodSeconds": {"type": ["integer", "null"], "minimum": 1, "maximum": 3600},
    "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
    "workloadIdentity.clientId": {"type": "string", "pattern": f"^$|{GUID}"},
    "workloadIdentity.tenantId": {"type": "string", "pattern": f"^$|{GUID}"},
    "probes.startup": PROBE,
    "probes.liveness": PROBE,
    "probes.readiness": PROBE,
}

# The keys of [[client.credential]]. Those with a secret (cert_base64, key_base64, key_passphrase) are left out.
CREDENTIAL_KEYS = [
    "cert_path", "key_path", "key_passphrase_file", "cert_thumbprint", "vault_url", "certificate", "token_file", "client_id",
]


def stale_files():
    values = (CHART / "values.yaml").read_text()
    readme = CHART / "README.md"
    yield CHART / "values.schema.json", json.dumps(schema(yaml.safe_load(values)), indent=2) + "\n"
    text = between(readme.read_text(), "<!-- sets -->\n", "<!-- end sets -->", table_of_sets())
    yield readme, between(text, "<!-- values -->\n", "<!-- end -->", table(values))
    secrets = [setting.name for setting in chart_settings().values() if setting.is_secret]
    yield CHART / "files/secret-settings.txt", "\n".join(secrets) + "\n"


def schema(values):
    top = of_value("", values)
    top["properties"]["settings"] = {"$ref": "#/definitions/settings"}
    for role in ("api", "client"):
        top["properties"][role]["properties"]["settings"] = {"$ref": "#/definitions/settings"}
    # Helm passes `global` to every chart.
    top["properties"]["global"] = OBJECT
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart blogctl; generated by tests/deploy/helm/generate.py",
        **top,
        "definitions": {"settings": settings_schema()},
    }


def of_value(path, value):
    matching = [end for end in OVERRIDES if path == end or path.endswith("." + end)]
    if matching:
        return OVERRIDES[max(matching, key=len)]
    if isinstance(value, dict):
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {key: of_value(f"{path}.{key}".lstrip("."), item) for key, item in value.items()},
        }
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return COUNT
    if isinstance(value, str):
        return {"type": "string"}
    if isinstance(value, list):
        return OBJECTS
    raise SystemExit(f"values.yaml: {path} is {value!r}: add its type to OVERRIDES in {__file__}")


def settings_schema():
    """`section.key` and `section.table.key` as nested objects that accept no other keys."""
    top = {"type": "object", "additionalProperties": False, "properties": {}}
    for setting in chart_settings().values():
        *tables, key = setting.name.split(".")
        table = top
        for name in tables:
            table = table["properties"].setdefault(name, {"type": "object", "additionalProperties": False, "properties": {}})
        table["properties"][key] = of_setting(setting)
    return top


def of_setting(setting):
    accepts = setting.accepts
    if setting.is_secret:
        # The templates reject it, with a message that says where it belongs.
        return {"description": "A secret: rejected, because settings are in a ConfigMap"}
    if setting.name == "client.credential":
        sources = re.search(r"source \((.*?)\)", accepts)[1]
        properties = {"source": {"enum": re.split(r", | or ", sources)}} | {key: {"type": "string"} for key in CREDENTIAL_KEYS}
        return {"type": "array", "items": {"type": "object", "required": ["source"], "additionalProperties": False, "properties": properties}}
    if setting.is_table:
        return OBJECTS
    if accepts == "true or false":
        return {"type": "boolean"}
    number = re.match(r"a whole number.* from (\d+) to (\d+)$", accepts)
    if number:
        return {"type": "integer", "minimum": int(number[1]), "maximum": int(number[2])}
    share = re.match(r"a number from (\d+) to (\d+)", accepts)
    if share:
        return {"type": "number", "minimum": int(share[1]), "maximum": int(share[2])}
    if isinstance(setting.default, list):
        item = "integer" if all(isinstance(value, int) for value in setting.default) and setting.default else "string"
        return {"type": "array", "items": {"type": item}}
    if isinstance(setting.default, dict):
        return STRINGS
    if re.fullmatch(r"[a-z0-9-]+(, [a-z0-9-]+)* or [a-z0-9-]+", accepts):
        return {"enum": re.split(r", | or ", accepts)}
    if accepts.startswith("a GUID such as"):
        return {"type": "string", "pattern": GUID}
    return {"type": "string"}


def between(text, begin, end, content):
    before, rest = text.split(begin)
    return before + begin + content + end + rest.split(end, 1)[1]


def table_of_sets():
    """The first line of each values set says what it is for."""
    rows = []
    for path in sorted((CHART / "ci").glob("*-values.yaml")):
        about = path.read_text().splitlines()[0].removeprefix("# ")
        rows.append(f"| [{path.name.removesuffix('-values.yaml')}](ci/{path.name}) | {about} |\n")
    return "".join(rows)


def table(text):
    """The rows of all values with a comment. A value without one belongs to the comment above it."""
    rows, path, comment = [], [], []
    for line in text.splitlines():
        indent = (len(line) - len(line.lstrip())) // 2
        if line.lstrip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
        elif found := re.match(r" *([A-Za-z]+):(?: (.*))?$", line):
            path = path[:indent] + [found[1]]
            if comment:
                default = f"`{found[2]}`" if found[2] else ""
                rows.append(f"| `{'.'.join(path)}` | {default} | {' '.join(comment)} |\n")
            comment = []
        else:
            comment = []
    return "| value | default | |\n|---|---|---|\n" + "".join(rows)


def main():
    write = sys.argv[1:] == ["--write"]
    stale = []
    for path, content in stale_files():
        current = path.read_text() if path.exists() else ""
        if current != content:
            stale.append(str(path.relative_to(ROOT)))
            if write:
                path.parent.mkdir(exist_ok=True)
                path.write_text(content)
    if stale and not write:
        sys.exit(f"stale, run tests/deploy/helm/generate.py --write: {', '.join(stale)}")
    print("written: " + ", ".join(stale) if stale else "all files are up to date")


if __name__ == "__main__":
    main()
