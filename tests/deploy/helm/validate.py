"""Validates objects strictly: those of Kubernetes with its OpenAPI schemas, custom resources with their CRDs."""

import json
import os
import subprocess
from pathlib import Path

import kubernetes_validate

VERSIONS = ("1.30", "1.34")
CUSTOM = ("gateway.networking.k8s.io/", "monitoring.coreos.com/", "cert-manager.io/")


def findings(objects):
    """What is wrong, one text per fault."""
    custom = [item for item in objects if item["apiVersion"].startswith(CUSTOM)]
    found = [problem for item in objects if item not in custom for problem in core(item)]
    return found + custom_resources(custom)


def core(item):
    name = f"{item['kind']} {item['metadata']['name']}"
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            yield f"{name}, Kubernetes {version}: {error}"


def custom_resources(items):
    if not items:
        return []
    script = Path(__file__).with_name("custom_resources.mjs")
    result = subprocess.run(
        ["node", script, os.environ["DEPLOY_NODE"]], input=json.dumps(items), capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise SystemExit(f"custom_resources.mjs: {result.stderr}")
    return json.loads(result.stdout)
