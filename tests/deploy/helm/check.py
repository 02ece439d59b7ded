"""All checks of the chart. See `check`."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import binary
import chart
import faults
import generate
import invariants
import refusals
import validate
from settings_list import ROOT


def report(title, findings):
    found = []
    try:
        found.extend(findings)
    except Exception as error:  # of Helm, or of a rule that does not find the structure that it expects
        found.append(f"{type(error).__name__}: {error}")
    print(f"{'FAILED' if found else 'passed'}  {title}", flush=True)
    for one in found:
        print(f"    {one}", flush=True)
    return not found


def main():
    work = Path(os.environ["DEPLOY_WORK"])
    ok = report("generated files", generated())
    ok &= report("versions", versions())
    sets = chart.sets()
    pem = binary.certificate(work)
    for name, values in sets.items():
        ok &= report(name, in_set(name, values, work, pem))
    ok &= report("the alerts are those of deploy/alerts", other_alerts(sets["monitoring"]))
    ok &= report("every value is in a set", values_in_no_set(sets))
    ok &= report(f"{len(refusals.REFUSALS)} values that must be rejected, and every secret", refusals.findings(sets))
    ok &= report(f"{len(faults.FAULTS)} faults that must be found", faults.findings(sets, work))
    sys.exit(not ok)


def versions():
    """The chart's default tag is the version of the program."""
    program = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    for key, version in yaml.safe_load((chart.CHART / "Chart.yaml").read_text()).items():
        if key in ("version", "appVersion") and version != program:
            yield f"{key} in Chart.yaml is {version}, but the program has {program}"


def generated():
    script = Path(__file__).with_name("generate.py")
    result = subprocess.run([sys.executable, "-B", script], capture_output=True, text=True, check=False)
    if result.returncode:
        yield result.stderr.strip()


def in_set(name, values, work, pem):
    yield from chart.lint(values)
    objects = chart.render(values)
    yield from validate.findings(objects)
    yield from invariants.findings(objects)
    yield from binary.findings(name, objects, work, pem)


def other_alerts(values):
    """The chart contains only its own folder, so it has a link to the rules."""
    rules = yaml.safe_load((ROOT / "deploy/alerts/blogctl.rules.yml").read_text())
    [rendered] = chart.render(values).of_kind("PrometheusRule")
    extra = len(values["metrics"]["prometheusRule"]["additionalGroups"])
    for ours, theirs in zip(rendered["spec"]["groups"][:-extra], rules["groups"], strict=True):
        text = json.dumps(theirs).replace("runbook_url\": \"docs/", f"runbook_url\": \"{values['metrics']['prometheusRule']['runbookUrl']}")
        if json.dumps(ours, sort_keys=True) != json.dumps(json.loads(text), sort_keys=True):
            yield f"group {theirs['name']} differs"


def values_in_no_set(sets):
    """A template may read a value wrongly, if no set has it. Both roles use the same templates."""
    used = {path for values in sets.values() for path in paths(values)}
    for path in sorted(set(paths(chart.defaults())) - used):
        yield path


def paths(values, prefix=""):
    for key, value in values.items():
        path = "ROLE" if key in ("api", "client") and not prefix else f"{prefix}{key}"
        yield path
        is_free = any(path == end or path.endswith(f".{end}") for end in generate.OVERRIDES)
        if isinstance(value, dict) and path != "settings" and not is_free:
            yield from paths(value, f"{path}.")


if __name__ == "__main__":
    main()
