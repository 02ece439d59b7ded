"""Compares resources with the models of Microsoft's SDKs, which are generated from the same descriptions as Azure's API."""

from __future__ import annotations

import enum
import importlib
import re
import typing
from functools import cache
from pathlib import Path
from typing import Any

import bicep

# type of the resource -> (module of its models, class)
MODELS = {
    "Microsoft.App/containerApps": ("azure.mgmt.appcontainers.models", "ContainerApp"),
    "Microsoft.App/jobs": ("azure.mgmt.appcontainers.models", "Job"),
    "Microsoft.App/managedEnvironments": ("azure.mgmt.appcontainers.models", "ManagedEnvironment"),
    "Microsoft.App/managedEnvironments/managedCertificates": ("azure.mgmt.appcontainers.models", "ManagedCertificate"),
    "Microsoft.Authorization/roleAssignments": ("azure.mgmt.authorization.v2022_04_01.models", "RoleAssignmentCreateParameters"),
    "Microsoft.Authorization/roleDefinitions": ("azure.mgmt.authorization.v2022_04_01.models", "RoleDefinition"),
    "Microsoft.Cache/redisEnterprise": ("azure.mgmt.redisenterprise.models", "Cluster"),
    "Microsoft.Cache/redisEnterprise/databases": ("azure.mgmt.redisenterprise.models", "Database"),
    "Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments": ("azure.mgmt.redisenterprise.models", "AccessPolicyAssignment"),
    "Microsoft.DBforPostgreSQL/flexibleServers": ("azure.mgmt.postgresqlflexibleservers.models", "Server"),
    "Microsoft.DBforPostgreSQL/flexibleServers/administrators": ("azure.mgmt.postgresqlflexibleservers.models", "AdministratorMicrosoftEntraAdd"),
    "Microsoft.DBforPostgreSQL/flexibleServers/databases": ("azure.mgmt.postgresqlflexibleservers.models", "Database"),
    "Microsoft.Insights/autoscalesettings": ("azure.mgmt.monitor.models", "AutoscaleSettingResource"),
    "Microsoft.KeyVault/vaults": ("azure.mgmt.keyvault.models", "Vault"),
    "Microsoft.KeyVault/vaults/keys": ("azure.mgmt.keyvault.models", "Key"),
    "Microsoft.KeyVault/vaults/secrets": ("azure.mgmt.keyvault.models", "Secret"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("azure.mgmt.msi.v2024_11_30.models", "Identity"),
    "Microsoft.Network/privateDnsZones": ("azure.mgmt.privatedns.models", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("azure.mgmt.privatedns.models", "VirtualNetworkLink"),
    "Microsoft.Network/privateEndpoints": ("azure.mgmt.network.models", "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ("azure.mgmt.network.models", "PrivateDnsZoneGroup"),
    "Microsoft.Network/virtualNetworks": ("azure.mgmt.network.models", "VirtualNetwork"),
    "Microsoft.OperationalInsights/workspaces": ("azure.mgmt.loganalytics.models", "Workspace"),
    "Microsoft.Web/serverfarms": ("azure.mgmt.web.models", "AppServicePlan"),
    "Microsoft.Web/sites": ("azure.mgmt.web.models", "Site"),
}
# No SDK on PyPI has their current model.
UNCHECKED = {"Microsoft.Insights/diagnosticSettings"}
# Bicep itself knows them.
OF_BICEP = {"name", "parent", "scope", "dependsOn"}


class Field:
    """A property: its type in the SDK, whether it can be set, whether it must be, and the bounds that its description names."""

    def __init__(self, type_: Any, read_only: bool, required: bool, description: str = ""):
        self.type, self.read_only, self.required = type_, read_only, required
        bounds = re.search(r"Minimum\s+value\s+is\s+(\d+)\.\s+Maximum\s+value\s+is\s+(\d+)", description)
        self.bounds = (int(bounds[1]), int(bounds[2])) if bounds else None


def description(cls: type, attribute: str) -> str:
    """What the SDK's documentation says about a property."""
    found = re.search(rf":ivar {attribute}: (.*?)(?=\n    :|\Z)", cls.__doc__ or "", re.DOTALL)
    return found[1] if found else ""


@cache
def fields(cls: type) -> dict[str, Field]:
    """The properties of a model, by their names in JSON."""
    if getattr(cls, "_attribute_map", None):
        return fields_of_old_model(cls)
    try:
        cls.__new__(cls)  # fills in the names in JSON
    except Exception:  # noqa: BLE001 # some models need arguments, and have the names by then
        pass
    found: dict[str, Field] = {}
    for base in reversed(cls.__mro__):
        hints = getattr(base, "__annotations__", {})
        for attribute, value in vars(base).items():
            if type(value).__name__ == "_RestField":
                hint = hints.get(attribute)
                read_only = value._visibility == ["read"]
                found[value._rest_name] = Field(hint, read_only, not read_only and "Optional" not in str(hint) and "None" not in str(hint), description(base, attribute))
    return found


def fields_of_old_model(cls: type) -> dict[str, Field]:
    """Models of the older generator: `properties.x` is one level in Python and two in JSON; enumerations are in the docstring."""
    found: dict[str, Field] = {}
    for attribute, entry in cls._attribute_map.items():
        validation = getattr(cls, "_validation", {}).get(attribute, {})
        type_: Any = entry["type"]
        documented = re.search(rf":(?:vartype|ivar|type) {attribute}: str or\s+~([\w.]+)\.(\w+)", cls.__doc__ or "")
        documented = documented or re.search(rf":(?:paramtype|keyword) {attribute}: str or\s+~([\w.]+)\.(\w+)", getattr(cls.__init__, "__doc__", "") or "")
        if documented:
            type_ = getattr(importlib.import_module(documented[1]), documented[2])
        field = Field(type_, bool(validation.get("readonly")), bool(validation.get("required")))
        *path, last = entry["key"].replace("\\.", "\0").split(".")
        level = found
        for part in path:
            level = level.setdefault(part, Field({}, False, False)).type
        level[last.replace("\0", ".")] = field
    return found


def classes(module: str, type_: Any) -> list[type]:
    """The classes of the SDK, or plain types, that a type of a property names."""
    if isinstance(type_, type):
        return [type_]
    if isinstance(type_, typing.ForwardRef):
        return classes(module, type_.__forward_arg__)
    if isinstance(type_, str):
        plain = {"str": str, "int": int, "bool": bool, "float": float}
        found = [plain.get(word) or getattr(importlib.import_module(module), word, None) for word in re.findall(r"[A-Za-z_]\w*", type_.replace("_models.", ""))]
        return [cls for cls in found if isinstance(cls, type)]
    return [cls for argument in typing.get_args(type_) for cls in classes(module, argument)]


def is_list(type_: Any) -> bool:
    return bool(re.search(r"(^|[^\w])(list|List)\[|^\[", str(type_)))


def is_map(type_: Any) -> bool:
    return bool(re.search(r"(^|[^\w])(dict|Dict)\[|^\{", str(type_))) and not isinstance(type_, dict)


class Walk:
    """Compares one resource with its model, and keeps the problems."""

    def __init__(self, module: str, variables: dict[str, Any]):
        self.module, self.variables, self.problems = module, variables, []

    def value(self, type_: Any, node: Any, path: str) -> None:
        if isinstance(node, bicep.Ternary):
            self.value(type_, node.yes, path)
            self.value(type_, node.no, path)
        elif isinstance(node, bicep.Name) and node.name in self.variables:
            self.value(type_, self.variables[node.name], path)
        elif isinstance(node, bicep.Call) and node.function == "concat":
            for argument in node.arguments:
                self.value(type_, argument, path)
        elif isinstance(node, bicep.For):
            self.value(type_, bicep.Array([node.body]), path)
        elif isinstance(node, bicep.Array):
            if not is_list(type_):
                self.problems.append(f"{path}: is a list, but the model has {type_}")
            inner = re.sub(r"^\[(.*)\]$", r"\1", type_) if isinstance(type_, str) else type_
            for index, item in enumerate(node.items):
                self.item(inner, item, f"{path}[{index}]")
        elif is_list(type_) and isinstance(node, (bicep.Object, bicep.Text)):
            self.problems.append(f"{path}: must be a list")
        else:
            self.item(type_, node, path)

    def item(self, type_: Any, node: Any, path: str) -> None:
        if isinstance(node, bicep.Object):
            self.object(type_, node, path)
        elif isinstance(node, bicep.Ternary):
            self.item(type_, node.yes, path)
            self.item(type_, node.no, path)
        else:
            self.plain(type_, node, path)

    def plain(self, type_: Any, node: Any, path: str) -> None:
        options = [cls for cls in classes(self.module, type_) if isinstance(cls, type)]
        enums = [cls for cls in options if issubclass(cls, enum.Enum)]
        if isinstance(node, bicep.Text) and all(isinstance(part, str) for part in node.parts):
            text = "".join(node.parts)
            if enums and text.lower() not in {str(member.value).lower() for cls in enums for member in cls}:
                self.problems.append(f"{path}: {text!r} is none of {sorted(str(m.value) for cls in enums for m in cls)}")
            if options and not enums and not any(cls is str or cls.__module__.startswith("datetime") for cls in options):
                self.problems.append(f"{path}: is a text, but the model has {type_}")
        if isinstance(node, bicep.Literal) and node.value is not None and options:
            wanted = bool if isinstance(node.value, bool) else int
            if wanted not in options and float not in options:
                self.problems.append(f"{path}: {node.value!r} does not fit {type_}")

    def bounds(self, field: Field, node: Any, path: str) -> None:
        if field.bounds and isinstance(node, bicep.Literal) and not field.bounds[0] <= node.value <= field.bounds[1]:
            self.problems.append(f"{path}: {node.value} is not between {field.bounds[0]} and {field.bounds[1]}")

    def object(self, type_: Any, node: bicep.Object, path: str) -> None:
        if isinstance(type_, dict):
            known = type_
        else:
            models = [cls for cls in classes(self.module, type_) if cls.__module__.startswith("azure") and not issubclass(cls, enum.Enum)]
            if is_map(type_) or not models:
                return
            known = fields(models[0])
        top = "." not in path
        given = set()
        for key, value in node.items:
            name = key.parts[0] if len(key.parts) == 1 and isinstance(key.parts[0], str) else None
            if name is None or (top and name in OF_BICEP):
                continue
            given.add(name)
            if name not in known:
                self.problems.append(f"{path}.{name}: unknown; the model has {', '.join(sorted(known))}")
            elif known[name].read_only:
                self.problems.append(f"{path}.{name}: can only be read")
            else:
                self.value(known[name].type, value, f"{path}.{name}")
                self.bounds(known[name], value, f"{path}.{name}")
        for name, field in known.items():
            if field.required and name not in given and not (top and name in OF_BICEP):
                self.problems.append(f"{path}: lacks {name}, which is required")


@cache
def versions(module: str) -> set[str]:
    """The API versions that the SDK of a module calls: its default, or those of its operations."""
    package = Path(str(importlib.import_module(module).__file__)).parent.parent
    sources = [*package.glob("_configuration.py"), *package.glob("_client.py")]
    default = {version for file in sources for version in re.findall(r'api_version"?,? .*"(20\d\d-\d\d-\d\d(?:-preview)?)"', file.read_text())}
    if default:
        return default
    return {version for file in package.glob("operations/*.py") for version in re.findall(r'"(20\d\d-\d\d-\d\d(?:-preview)?)"', file.read_text())}


def check_resource(name: str, type_: str, version: str, body: bicep.Object, variables: dict[str, Any]) -> list[str]:
    """The problems of one resource."""
    if type_ in UNCHECKED:
        return []
    if type_ not in MODELS:
        return [f"{name}: no model for {type_}"]
    module, cls = MODELS[type_]
    problems = []
    if version not in versions(module):
        problems.append(f"{name}: the model of {type_} is of version {', '.join(sorted(versions(module))[-3:])}, not {version}")
    walk = Walk(module, variables)
    walk.object(getattr(importlib.import_module(module), cls), body, name)
    return problems + walk.problems


def has_property(type_: str, path: list[str]) -> bool:
    """Whether a resource has the property, such as properties.clientId, when it is read."""
    if type_ in UNCHECKED or path[0] in ("id", "name"):
        return True
    module, cls = MODELS[type_]
    known: Any = fields(getattr(importlib.import_module(module), cls))
    for step in path:
        if step not in known:
            return False
        next_ = known[step].type
        if isinstance(next_, dict):
            known = next_
            continue
        models = [found for found in classes(module, next_) if found.__module__.startswith("azure") and not issubclass(found, enum.Enum)]
        if is_map(next_) or not models:
            return True
        known = fields(models[0])
    return True
