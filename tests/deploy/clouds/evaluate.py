"""Evaluates Bicep expressions with the values of a parameter file. What only Azure knows gets a sample value by its name."""

from __future__ import annotations

import json
from typing import Any

import bicep

GUID = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f"
SAMPLES = {
    "clientId": GUID, "principalId": GUID, "tenantId": GUID, "customerId": GUID,
    "vaultUri": "https://blogctlabc.vault.azure.net/",
    "fqdn": "blogctl-api.internal.example.westeurope.azurecontainerapps.io",
    "defaultDomain": "example.westeurope.azurecontainerapps.io",
    "defaultHostName": "blogctl-site-abc.azurewebsites.net",
    "databaseUrlId": "https://blogctlabc.vault.azure.net/secrets/database-url",
    "redisUrlId": "https://blogctlabc.vault.azure.net/secrets/redis-url",
    "location": "westeurope",
}  # fmt: skip


class Unknown(Exception):
    """The value depends on a parameter that has no value here."""


class Evaluator:
    def __init__(self, template: Any, changes: dict[str, Any]):
        self.template = template
        file = template.path.with_suffix(".parameters.json")
        given = json.loads(file.read_text())["parameters"] if file.exists() else {}
        self.given = {name: entry["value"] for name, entry in given.items()}
        self.given.update({name: value for name, value in changes.items() if name in template.parameters})

    def value(self, node: Any) -> Any:
        method = getattr(self, f"of_{type(node).__name__.lower()}")
        return method(node)

    def of_text(self, node: bicep.Text) -> str:
        return "".join(part if isinstance(part, str) else str(self.value(part)) for part in node.parts)

    def of_literal(self, node: bicep.Literal) -> Any:
        return node.value

    def of_name(self, node: bicep.Name) -> Any:
        if node.name not in self.template.by_name:
            raise Unknown(node.name)  # the variable of a loop
        declaration = self.template.by_name[node.name]
        if declaration.kind == "var":
            return self.value(declaration.value)
        if declaration.kind == "param":
            if node.name in self.given:
                return self.given[node.name]
            if declaration.value is not None:
                return self.value(declaration.value)
            if declaration.type == "array":
                raise Unknown(node.name)
            return {"string": f"sample-{node.name}", "bool": True, "int": 1}[declaration.type]
        return f"({node.name})"

    def of_access(self, node: bicep.Access) -> Any:
        if isinstance(node.target, bicep.Name) and node.name in ("id", "name"):
            return f"({node.target.name}).{node.name}"
        return SAMPLES.get(node.name, f"sample-{node.name}")

    def of_index(self, node: bicep.Index) -> Any:
        return "sample"

    def of_call(self, node: bicep.Call) -> Any:
        arguments = [self.value(argument) for argument in node.arguments]
        if node.function == "concat":
            return [item for argument in arguments for item in argument]
        if node.function == "empty":
            return not arguments[0]
        if node.function == "string":
            return str(arguments[0])
        if node.function == "json":
            return json.loads(arguments[0])
        if node.function == "uniqueString":
            return "abc"
        return f"({node.function})"

    def of_unary(self, node: bicep.Unary) -> Any:
        operand = self.value(node.operand)
        return not operand if node.operator == "!" else -operand

    def of_binary(self, node: bicep.Binary) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        operations = {
            "+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
            "==": lambda: left == right, "!=": lambda: left != right,
            "&&": lambda: left and right, "||": lambda: left or right,
        }  # fmt: skip
        return operations[node.operator]()

    def of_ternary(self, node: bicep.Ternary) -> Any:
        return self.value(node.yes if self.value(node.condition) else node.no)

    def of_array(self, node: bicep.Array) -> list[Any]:
        return [self.value(item) for item in node.items]

    def of_object(self, node: bicep.Object) -> dict[str, Any]:
        # A property that is null is not sent.
        values = {self.of_text(key): self.value(value) for key, value in node.items}
        return {key: value for key, value in values.items() if value is not None}

    def of_for(self, node: bicep.For) -> Any:
        raise Unknown("a loop")
