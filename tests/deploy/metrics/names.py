"""Names of metrics and labels: what docs/monitoring.md documents, and what a query uses. A test of blogctl keeps the
documentation equal to what the program can expose."""

import re
from pathlib import Path

import promql_parser

ROOT = Path(__file__).resolve().parents[3]
# Prometheus adds these.
ADDED_LABELS = {"job", "instance", "namespace", "pod", "le"}
SUFFIXES = ("_bucket", "_sum", "_count")
OTHERS = {"up": {"type": "gauge", "labels": set()}, "ALERTS": {"type": "gauge", "labels": {"alertname", "alertstate"}}}


def documented():
    """Type and labels of each family."""
    page = (ROOT / "docs/monitoring.md").read_text()
    table = page.split("<!-- [metrics] -->")[1].split("<!-- end -->")[0]
    families = {}
    for line in table.strip().splitlines()[2:]:
        name, kind, labels = (cell.strip() for cell in line.strip("|").split("|")[:3])
        families[name.strip("`")] = {"type": kind, "labels": set(re.findall(r"`(\w+)`", labels))}
    return families | OTHERS


def findings(expression, families):
    """What is wrong with a query."""
    expression = expression.replace("$__rate_interval", "5m").replace("$job", "x").replace("$instance", "x")
    try:
        promql_parser.parse(expression)
    except ValueError as error:
        return [f"{error} in {expression}"]
    found, labels = [], set(ADDED_LABELS)
    for match in re.finditer(r"\b([a-zA-Z_:][\w:]*)(\{[^}]*\})?", without_strings_and_functions(expression)):
        name, selector = match.group(1), match.group(2) or ""
        family = family_of(name, families)
        if family is None:
            found.append(f"no metric {name}: {expression}")
            continue
        labels |= family["labels"]
        found += [
            f"{name} has no label {label}: {expression}"
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)
            if label not in family["labels"] | ADDED_LABELS
        ]
    for clause in re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression):
        for label in filter(None, map(str.strip, clause.split(","))):
            if label not in labels:
                found.append(f"no label {label}: {expression}")
    return found


def family_of(name, families):
    """The family of a series. A histogram has series with suffixes only."""
    if name in families:
        return families[name] if families[name]["type"] != "histogram" else None
    for suffix in SUFFIXES:
        family = families.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if family and family["type"] == "histogram":
            return family
    return None


def without_strings_and_functions(expression):
    """The query with nothing but metrics, selectors and operators."""
    expression = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    expression = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", expression)
    expression = re.sub(r"\[[^\]]*\]", "", expression)
    expression = re.sub(r"\b\w+\s*\(", "(", expression)
    expression = re.sub(r"\b(?:and|or|unless|bool|offset)\b", " ", expression)
    return re.sub(r"\b\d[\d.eE+]*\w*\b", " ", expression)
