"""Checks Bicep files without a compiler and without Azure.

usage: check_azure.py FOLDER [BLOGCTL]

- names: every name that an expression uses exists, every parameter and variable is used, modules get their parameters;
- resources: every property exists in the model of Microsoft's SDK, may be set, and has a value that its type allows;
- parameter files: the parameters that a template needs, and no others;
- what the templates promise: promises.py;
- with BLOGCTL: blogctl accepts the settings that the templates would pass to it.

Not checked: what Azure itself says when it deploys, and whether a role is enough.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import bicep
import lark
import pycep
import sdk
from evaluate import Evaluator, Unknown
from promises import promises

FUNCTIONS = {
    "cidrSubnet", "concat", "empty", "guid", "json", "resourceGroup", "string", "subscription", "subscriptionResourceId",
    "uniqueString", "uriComponent", "getSecret", "listKeys",
}  # fmt: skip
TYPES = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}


@cache
def parse(text: str) -> list[bicep.Declaration]:
    pycep.BicepParser().parse(text=text)  # a second opinion on the syntax
    return bicep.Parser(text).file()


class Template:
    """One Bicep file."""

    def __init__(self, path: Path):
        self.path = path
        self.declarations = parse(path.read_text())
        self.by_name = {declaration.name: declaration for declaration in self.declarations if declaration.kind != "output"}
        self.parameters = {d.name: d for d in self.declarations if d.kind == "param"}
        self.variables = {d.name: d.value for d in self.declarations if d.kind == "var"}
        self.outputs = {d.name for d in self.declarations if d.kind == "output"}

    def body(self, declaration: bicep.Declaration) -> bicep.Object:
        value = declaration.value
        while isinstance(value, (bicep.If, bicep.For)):
            value = value.body
        return value


def check_names(template: Template) -> list[str]:
    problems = []
    seen: set[str] = set()
    for declaration in template.declarations:
        if declaration.kind != "output":
            if declaration.name in seen:
                problems.append(f"line {declaration.line}: {declaration.name} is declared twice")
            seen.add(declaration.name)
    used: set[str] = set()
    for declaration in template.declarations:
        for name in bicep.names_in(declaration.value):
            used.add(name.name)
            if name.name not in template.by_name:
                problems.append(f"line {declaration.line}: {declaration.name} uses {name.name}, which does not exist")
        for node in bicep.nodes_in(declaration.value):
            if isinstance(node, bicep.Call) and node.function not in FUNCTIONS:
                problems.append(f"line {declaration.line}: {declaration.name} calls {node.function}, which is unknown")
            if isinstance(node, bicep.Access):
                problems += check_access(template, declaration, node)
    for name, declaration in template.by_name.items():
        if declaration.kind in ("param", "var") and name not in used:
            problems.append(f"line {declaration.line}: {name} is not used")
    for name, parameter in template.parameters.items():
        allowed = parameter.decorators.get("allowed")
        default = parameter.value
        if allowed and isinstance(default, bicep.Text) and default.parts not in [item.parts for item in allowed[0].items]:
            problems.append(f"line {parameter.line}: the default of {name} is not allowed")
        if "secure" in parameter.decorators and parameter.value is not None:
            problems.append(f"line {parameter.line}: {name} is secure, and must have no default")
        if "description" not in parameter.decorators and not name.startswith(("api", "site", "postgres", "redis", "endpoints")):
            problems.append(f"line {parameter.line}: {name} has no description")
    return problems


def check_access(template: Template, declaration: bicep.Declaration, node: bicep.Access) -> list[str]:
    """`network.outputs.x` exists in the module, and `vault.properties.x` in the model."""
    path: list[str] = []
    at: Any = node
    while isinstance(at, bicep.Access):
        path.insert(0, at.name)
        at = at.target
    if not isinstance(at, bicep.Name) or at.name not in template.by_name:
        return []
    target = template.by_name[at.name]
    if target.kind == "module" and path[0] == "outputs" and len(path) > 1:
        if path[1] not in Template(template.path.parent / target.type).outputs:
            return [f"line {declaration.line}: the module {at.name} has no output {path[1]}"]
    if target.kind == "resource" and not sdk.has_property(target.type.split("@")[0], path):
        return [f"line {declaration.line}: {at.name} has no property {'.'.join(path)}"]
    return []


def check_modules(template: Template) -> list[str]:
    problems = []
    for declaration in template.declarations:
        if declaration.kind != "module":
            continue
        module = Template(template.path.parent / declaration.type)
        given = {key.parts[0]: value for key, value in declaration.value.get("params").items}
        for name, parameter in module.parameters.items():
            if name not in given and parameter.value is None:
                problems.append(f"line {declaration.line}: the module {declaration.name} lacks {name}")
        for name, value in given.items():
            if name not in module.parameters:
                problems.append(f"line {declaration.line}: the module {declaration.name} has no parameter {name}")
                continue
            problems += check_argument(template, declaration, module.parameters[name], value)
    return problems


def check_argument(template: Template, declaration: bicep.Declaration, parameter: bicep.Declaration, value: Any) -> list[str]:
    """The type and the allowed values, as far as they are known without evaluating."""
    place = f"line {declaration.line}: {declaration.name}.{parameter.name}"
    allowed = parameter.decorators.get("allowed")
    if isinstance(value, bicep.Text):
        if parameter.type != "string":
            return [f"{place} is a text, but the module expects {parameter.type}"]
        if allowed and value.parts not in [item.parts for item in allowed[0].items]:
            return [f"{place} is none of the allowed values"]
    if isinstance(value, bicep.Name) and template.by_name[value.name].kind == "param":
        if template.by_name[value.name].type != parameter.type:
            return [f"{place} is of type {template.by_name[value.name].type}, but the module expects {parameter.type}"]
        if allowed and template.by_name[value.name].decorators.get("allowed") != allowed:
            return [f"{place}: the module allows other values than {value.name} has"]
    if isinstance(value, bicep.Call) and value.function == "getSecret" and "secure" not in parameter.decorators:
        return [f"{place} is a secret, but the parameter is not secure"]
    return []


def check_resources(template: Template) -> list[str]:
    problems = []
    for declaration in template.declarations:
        if declaration.kind != "resource":
            continue
        type_, _, version = declaration.type.partition("@")
        body = template.body(declaration)
        if declaration.existing:
            problems += [f"{declaration.name}: {key.parts[0]} of an existing resource" for key, _ in body.items if key.parts[0] not in ("name", "parent", "scope")]
            continue
        problems += sdk.check_resource(declaration.name, type_, version, body, template.variables)
    return problems


def check_parameter_file(template: Template) -> list[str]:
    file = template.path.with_suffix(".parameters.json")
    given = json.loads(file.read_text())["parameters"]
    problems = [f"{file.name}: {name} is no parameter of {template.path.name}" for name in given if name not in template.parameters]
    for name, parameter in template.parameters.items():
        if name not in given:
            if parameter.value is None:
                problems.append(f"{file.name}: lacks {name}")
            continue
        value = given[name]["value"]
        if type(value) is not TYPES[parameter.type]:
            problems.append(f"{file.name}: {name} is not of type {parameter.type}")
        allowed = parameter.decorators.get("allowed")
        if allowed and [value] not in [item.parts for item in allowed[0].items]:
            problems.append(f"{file.name}: {name} is none of the allowed values")
        if "secure" in parameter.decorators:
            problems.append(f"{file.name}: {name} is a secret, which does not belong in a file")
    return problems


# --- blogctl's own opinion ----------------------------------------------------------------------------------------------


def run_blogctl(blogctl: str, settings: list[dict[str, Any]], references: dict[str, str]) -> list[str]:
    """The settings that blogctl rejects. References to secrets become the values that the templates give them."""
    references = {**references, "client-cookie-key": "Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0Z2FycGx5d2FsZG9mcmVkMTIzNA"}
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    key = Path(os.environ["DEPLOY_WORK"]) / "client-cookie-key"
    key.write_text(references["client-cookie-key"])
    for item in settings:
        value = references.get(item.get("secretRef", ""), item.get("value", ""))
        if value == "/run/secrets/client-cookie-key":
            value = str(key)
        if value.startswith("@Microsoft.KeyVault("):
            value = next((text for name, text in references.items() if f"/secrets/{name}" in value), "")
        environment[item["name"]] = value
    outcome = subprocess.run([blogctl, "config"], env=environment, cwd="/", capture_output=True, text=True, timeout=60)
    return [] if outcome.returncode == 0 else [f"blogctl config exits with {outcome.returncode}: {outcome.stderr.strip()}"]


# Parameters that change what a template deploys.
VARIANTS: list[dict[str, Any]] = [
    {},
    {"hostName": "blog.example.com", "bindCertificate": True, "registryServer": "example.azurecr.io", "customRole": False},
    {"databaseAuthentication": "entra", "authentication": "entra"},
    {"loadedCertificateThumbprint": "3F2504E04F8911D39A0C0305E82C3301ABCDEF01", "privateRegistry": True},
]


def evaluate(template: Template, changes: dict[str, Any]) -> dict[str, Any]:
    """The resources with the values of the parameter file, or defaults; what only Azure knows gets a sample value."""
    evaluator = Evaluator(template, changes)
    found = {}
    for declaration in template.declarations:
        if declaration.kind == "resource" and not declaration.existing:
            try:
                found[declaration.name] = (declaration.type.split("@")[0], evaluator.value(template.body(declaration)))
            except Unknown:
                continue  # a loop over a parameter of a module
    return found


def secrets_of(evaluated: dict[str, Any]) -> dict[str, str]:
    """The secrets that a template writes into the vault."""
    secrets = [body for type_, body in evaluated.values() if type_ == "Microsoft.KeyVault/vaults/secrets"]
    return {body["name"]: body["properties"]["value"] for body in secrets}


def settings_of(evaluated: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name, (type_, body) in evaluated.items():
        if type_ in ("Microsoft.App/containerApps", "Microsoft.App/jobs"):
            found[name] = body["properties"]["template"]["containers"][0]["env"]
        if type_ == "Microsoft.Web/sites":
            found[name] = body["properties"]["siteConfig"]["appSettings"]
    return found


def main(folder: Path, blogctl: str | None) -> int:
    problems, resources = [], 0
    data = Template(folder / "modules/data.bicep")
    secrets = {str(changes): secrets_of(evaluate(data, changes)) for changes in VARIANTS} if blogctl else {}
    for path in sorted(folder.rglob("*.bicep")):
        try:
            template = Template(path)
            found = check_names(template)
            if not found:
                found += check_modules(template) + check_resources(template)
            if not found and path.parent == folder:
                found += check_parameter_file(template)
            if not found:
                for changes in VARIANTS:
                    evaluated = evaluate(template, changes)
                    found += promises(evaluated)
                    for name, settings in settings_of(evaluated).items() if blogctl else ():
                        found += [f"{name}: {problem}" for problem in run_blogctl(blogctl, settings, secrets[str(changes)])]
            resources += sum(d.kind == "resource" and not d.existing for d in template.declarations)
        except (bicep.BicepError, lark.exceptions.LarkError) as error:
            found = [f"not valid: {error}"]
        problems += [f"{path.relative_to(folder)}: {problem}" for problem in found]
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{resources} resources of {folder} have no fault")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
