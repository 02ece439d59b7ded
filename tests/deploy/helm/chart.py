"""Lints and renders the chart with a values set, through the library of Helm."""

import re
import textwrap

import yaml
from helm_python import chart as helm

from settings_list import ROOT

CHART = ROOT / "deploy/helm/blogctl"
RELEASE, NAMESPACE = "demo", "blog"


def sets():
    """The values sets in ci/, by name."""
    found = {path.name.removesuffix("-values.yaml"): values_of(path.read_text()) for path in sorted(CHART.glob("ci/*-values.yaml"))}
    return found | sets_of_the_documentation(found["postgres-redis"])


def defaults():
    return values_of((CHART / "values.yaml").read_text())


def sets_of_the_documentation(base):
    """The blocks of values in docs/deploy. One without an image is for an installation like `base`."""
    found = {}
    for page in sorted((ROOT / "docs/deploy").glob("*.md")):
        for block in re.findall(r"^ *```yaml\n( *# values\.yaml for .*?)^ *```$", page.read_text(), re.M | re.S):
            text = textwrap.dedent(block)
            name = re.search(r"values\.yaml for (.*)", text)[1].lower().replace(" ", "-")
            values = values_of(text.replace("IMAGE", "registry.example.com/blogctl").replace("DIGEST", f"sha256:{64 * '0'}"))
            found[f"docs-{name}"] = values if "image" in values else merged(base, values)
    if len(found) < 3:
        raise SystemExit(f"docs/deploy has only these blocks of values: {list(found)}")
    return found


def merged(base, values):
    """`values` over `base`, as Helm merges several files."""
    both = dict(base)
    for key, value in values.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def values_of(text):
    """Values as Helm parses them."""
    return helm.values_from_yaml(text)


def lint(values, folder=CHART):
    """The findings of `helm lint --strict`, without the advice to add an icon."""
    report = helm.lint(str(folder), values, strict=True)
    return [m["error"] for m in report["messages"] if m["severity"] > 1] + list(report.get("errors") or [])


def render(values, folder=CHART):
    """The objects of a release; raises if Helm rejects the values or a template."""
    with helm.Chart.load(str(folder)) as loaded:
        files = loaded.render(values=values, name=RELEASE, namespace=NAMESPACE)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return Objects([document for text in texts for document in yaml.safe_load_all(text) if document])


class Objects(list):
    """The rendered objects."""

    def of_kind(self, kind):
        return [item for item in self if item["kind"] == kind]

    def of_role(self, kind, role):
        """The object of a kind and role, or None."""
        found = [item for item in self.of_kind(kind) if component(item) == role]
        return found[0] if found else None

    def pods(self):
        """(object, pod template) of everything that starts pods."""
        for item in self:
            if item["kind"] in ("Deployment", "Job"):
                yield item, item["spec"]["template"]
            elif item["kind"] == "Pod":
                yield item, item


def component(item):
    return item["metadata"].get("labels", {}).get("app.kubernetes.io/component")
