"""Checks deploy/aws/ecs.yaml without AWS.

usage: check_aws.py FOLDER [BLOGCTL]

- cfn-lint, with CloudFormation's own schemas, on the template, and the names in parameters.json;
- each task definition and service against the shape of the API call that CloudFormation makes (botocore);
- what the template promises: promises() below;
- the container that writes the secrets into files does so, with BLOGCTL reading them; and blogctl accepts the settings.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.model
import botocore.validate
import yaml
from cfnlint.api import ManualArgs, lint

SAMPLES = {"AWS::Region": "eu-central-1", "AWS::StackName": "blogctl", "AWS::AccountId": "000000000000", "AWS::Partition": "aws"}
SECRETS = {
    "DatabaseUrlSecretArn": "postgres://blogctl:p%2Fw@db.example.com:5432/blog?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt",
    "RedisUrlSecretArn": "rediss://:k%2Fy@cache.example.com:6379/0",
    "CookieKeySecretArn": "Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0Z2FycGx5d2FsZG9mcmVkMTIzNA",
}


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, such as !Ref."""


def function(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", function)


class Template:
    def __init__(self, folder: Path):
        self.text = (folder / "ecs.yaml").read_text()
        self.document = yaml.load(self.text, Loader)
        self.given = json.loads((folder / "parameters.json").read_text())["Parameters"]
        defaults = {name: parameter.get("Default") for name, parameter in self.document["Parameters"].items()}
        self.parameters = {**defaults, **self.given}

    def resources(self, type_: str) -> dict[str, Any]:
        return {
            name: self.resolve(resource["Properties"])
            for name, resource in self.document["Resources"].items()
            if resource["Type"] == type_
        }

    def resolve(self, value: Any) -> Any:
        """The value with parameters filled in; a reference to a resource becomes its name."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Ref"}:
            name = value["Ref"]
            found = SAMPLES.get(name, self.parameters.get(name, name))
            is_list = self.document["Parameters"].get(name, {}).get("Type", "").startswith("List")
            return str(found).split(",") if is_list else found
        if set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
            return re.sub(r"\$\{([^}]+)\}", lambda match: str(self.resolve({"Ref": match[1]})), value["Fn::Sub"])
        if set(value) == {"Fn::GetAtt"}:
            return str(value["Fn::GetAtt"])
        if set(value) == {"Fn::If"}:
            return self.resolve(value["Fn::If"][1])
        return {key: self.resolve(item) for key, item in value.items()}


# --- against the API ----------------------------------------------------------------------------------------------------


@cache
def service(name: str) -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model(name, "service-2"))


def to_api(value: Any, shape: botocore.model.Shape) -> Any:
    """CloudFormation's names begin with a capital; those of this API do not. Keys of maps stay."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members
        named = {key[0].lower() + key[1:]: item for key, item in value.items()}
        return {key: to_api(item, members[key]) if key in members else item for key, item in named.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [to_api(item, shape.member) for item in value]
    if shape.type_name in ("integer", "long") and isinstance(value, str) and value.isdigit():
        return int(value)
    return value


def check_shape(operation: str, properties: dict[str, Any], name: str) -> list[str]:
    shape = service("ecs").operation_model(operation).input_shape
    call = to_api(properties, shape)
    if operation == "CreateService":
        call.setdefault("serviceName", name)
    report = botocore.validate.ParamValidator().validate(call, shape)
    problems = [f"{name}: {line}" for line in report.generate_report().splitlines() if line]
    return problems + unknown_keys(call, shape, name)


def unknown_keys(value: Any, shape: botocore.model.Shape, path: str) -> list[str]:
    """botocore accepts unknown members inside, and any text for an enumeration."""
    if isinstance(value, dict) and shape.type_name == "structure":
        unknown = [f"{path}.{key}: unknown" for key in value if key not in shape.members]
        return unknown + [p for key, item in value.items() if key in shape.members for p in unknown_keys(item, shape.members[key], f"{path}.{key}")]
    if isinstance(value, list) and shape.type_name == "list":
        return [p for index, item in enumerate(value) for p in unknown_keys(item, shape.member, f"{path}[{index}]")]
    if isinstance(value, str) and getattr(shape, "enum", None) and value not in shape.enum:
        return [f"{path}: {value!r} is none of {shape.enum}"]
    return []


# --- what the template promises -----------------------------------------------------------------------------------------


def promises(template: Template) -> list[str]:
    problems: list[str] = []

    def expect(holds: Any, what: str) -> None:
        if not holds:
            problems.append(what)

    for name, task in template.resources("AWS::ECS::TaskDefinition").items():
        containers = {container["Name"]: container for container in task["ContainerDefinitions"]}
        for role, container in containers.items():
            place = f"{name}: {role}"
            expect(container.get("ReadonlyRootFilesystem") is True, f"{place}: read-only root")
            names = [item["Name"] for item in container.get("Environment", []) + container.get("Secrets", [])]
            expect(len(names) == len(set(names)), f"{place}: every setting once")
            if role == "setup":
                expect(container.get("Essential") is False, f"{place} ends without ending the task")
                continue
            expect(container.get("User") == "65532:65532", f"{place}: not root")
            expect(container.get("LinuxParameters", {}).get("Capabilities", {}).get("Drop") == ["ALL"], f"{place}: no capabilities")
            expect(container["Image"] == template.parameters["Image"], f"{place}: the image by digest")
            environment = {item["Name"]: item["Value"] for item in container.get("Environment", [])}
            if "BLOG_SERVER__DRAIN_SECONDS" in environment:
                needed = int(environment["BLOG_SERVER__DRAIN_SECONDS"]) + int(environment["BLOG_SERVER__SHUTDOWN_SECONDS"]) + 5
                expect(needed <= container.get("StopTimeout", 30) <= 120, f"{place}: StopTimeout of {needed} to 120 s")
            for dependency in container.get("DependsOn", []):
                expect(dependency["Condition"] == "SUCCESS" and dependency["ContainerName"] in containers, f"{place}: waits for the files")
            volumes = {volume["Name"] for volume in task.get("Volumes", [])}
            for mount in container.get("MountPoints", []):
                expect(mount["SourceVolume"] in volumes and mount["ReadOnly"] is True, f"{place}: reads its volume")
                expect(container.get("DependsOn"), f"{place}: waits for the files")
        secrets = [item["Name"] for c in containers.values() for item in c.get("Environment", []) if re.search("URL|KEY$|CERT", item["Name"]) and "://" in str(item["Value"]) and "@" in str(item["Value"])]
        expect(not secrets, f"{name}: {secrets} belong in Secrets")

    tasks = template.resources("AWS::ECS::TaskDefinition")
    targets = template.resources("AWS::ElasticLoadBalancingV2::TargetGroup")
    for name, item in template.resources("AWS::ECS::Service").items():
        container = next((c for c in tasks[item["TaskDefinition"]]["ContainerDefinitions"] if c["Name"] == item["LoadBalancers"][0]["ContainerName"]), None)
        if container is None:
            problems.append(f"{name}: the container of the load balancer does not exist")
            continue
        port = item["LoadBalancers"][0]["ContainerPort"]
        target = targets[item["LoadBalancers"][0]["TargetGroupArn"]]
        expect([p["ContainerPort"] for p in container["PortMappings"]] == [port] and target["Port"] == port, f"{name}: one port everywhere")
        expect(target["HealthCheckPath"] == "/health/ready", f"{name}: the balancer asks for readiness")
        expect(item["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED", f"{name}: no public address")
        breaker = item["DeploymentConfiguration"].get("DeploymentCircuitBreaker", {})
        expect(breaker.get("Enable") is True and breaker.get("Rollback") is True, f"{name}: rolls back")
        delay = {a["Key"]: a["Value"] for a in target["TargetGroupAttributes"]}["deregistration_delay.timeout_seconds"]
        drain = next(e["Value"] for e in container.get("Environment", []) if e["Name"] == "BLOG_SERVER__DRAIN_SECONDS")
        expect(int(delay) <= int(drain), f"{name}: the balancer stops sending before the task stops accepting")
    schemes = {name: balancer["Scheme"] for name, balancer in template.resources("AWS::ElasticLoadBalancingV2::LoadBalancer").items()}
    expect(schemes == {"SiteBalancer": "internet-facing", "ApiBalancer": "internal"}, "the API is internal")
    for name, listener in template.resources("AWS::ElasticLoadBalancingV2::Listener").items():
        encrypted = listener["Protocol"] == "HTTPS" and "TLS13-1-2" in listener.get("SslPolicy", "")
        expect(encrypted or listener["DefaultActions"][0]["Type"] == "redirect", f"{name}: TLS 1.2 and 1.3, or a redirect")
    unknown = set(template.given) - set(template.document["Parameters"])
    missing = {name for name, value in template.parameters.items() if value is None}
    expect(not unknown and not missing, f"parameters.json: unknown {sorted(unknown)}, missing {sorted(missing)}")
    return problems


# --- running what the template runs -------------------------------------------------------------------------------------


def run_blogctl(blogctl: str, template: Template, certificate: Path) -> list[str]:
    """The setup container's command writes the files, and blogctl reads them and accepts all settings."""
    problems = []
    work = Path(os.environ["DEPLOY_WORK"])
    for name, task in template.resources("AWS::ECS::TaskDefinition").items():
        for container in task["ContainerDefinitions"]:
            values = {arn: SECRETS[parameter] for parameter, arn in template.given.items() if parameter in SECRETS}
            secrets = {item["Name"]: values.get(item["ValueFrom"], certificate.read_text()) for item in container.get("Secrets", [])}
            if container["Name"] == "setup":
                # Only root may change the owner of a file.
                script = re.sub(r"chown \S+", "ls", container["Command"][-1]).replace("/run/blogctl", str(work / "run"))
                shutil.rmtree(work / "run", ignore_errors=True)
                (work / "run").mkdir()
                outcome = subprocess.run([container["Command"][0], "-c", script], env={"PATH": "/usr/bin:/bin", **secrets}, capture_output=True, text=True, timeout=20)
                if outcome.returncode:
                    problems.append(f"{name}: setup: {outcome.stderr}")
                for file in (work / "run").iterdir():
                    if file.stat().st_mode & 0o077:
                        problems.append(f"{name}: setup: other users may read {file.name}")
                continue
            environment = {item["Name"]: str(item["Value"]).replace("/run/blogctl", str(work / "run")) for item in container.get("Environment", [])}
            commands = [["config"]] + ([["cert", "check"]] if "BLOG_CLIENT__CERT_PATH" in environment else [])
            for command in commands:
                outcome = subprocess.run([blogctl, *command], env={"PATH": "/usr/bin:/bin", **environment, **secrets}, cwd="/", capture_output=True, text=True, timeout=60)
                if outcome.returncode:
                    problems.append(f"{name}: blogctl {' '.join(command)}: {outcome.stdout}{outcome.stderr}")
    return problems


def main(folder: Path, blogctl: str | None = None, certificate: Path | None = None) -> int:
    template = Template(folder)
    problems = [f"cfn-lint: {match}" for match in lint(template.text, None, ["eu-central-1"], ManualArgs())]
    for name, task in template.resources("AWS::ECS::TaskDefinition").items():
        problems += check_shape("RegisterTaskDefinition", copy.deepcopy(task), name)
    for name, item in template.resources("AWS::ECS::Service").items():
        problems += check_shape("CreateService", copy.deepcopy(item), name)
    if not problems:
        problems += promises(template)
    if not problems and blogctl and certificate:
        problems += run_blogctl(blogctl, template, certificate)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{len(template.document['Resources'])} resources of {folder} have no fault")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None, Path(sys.argv[3]) if len(sys.argv) > 3 else None))
