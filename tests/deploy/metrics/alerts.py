"""The alerting rules and their unit tests."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy/alerts"
RULES = FOLDER / "blogctl.rules.yml"


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions():
    return [(rule["alert"], rule["expr"]) for rule in rules()]


def findings(work):
    """What is wrong with the rules, and which alerts the unit tests do not test."""
    found = [*promtool_findings("check", "rules", RULES), *promtool_findings("test", "rules", *tests(FOLDER))]
    runbooks = (ROOT / "docs/monitoring.md").read_text()
    for rule in rules():
        name = rule["alert"]
        if rule["labels"].get("severity") not in ("warning", "critical"):
            found.append(f"{name}: severity is neither warning nor critical")
        if rule["annotations"]["runbook_url"] != f"docs/monitoring.md#{name.lower()}":
            found.append(f"{name}: runbook_url does not lead to its runbook")
        if f"\n### {name}\n" not in runbooks:
            found.append(f"{name}: no runbook in docs/monitoring.md")
    if found:
        return found
    with ThreadPoolExecutor(max_workers=4) as threads:
        found += [finding for rule in threads.map(lambda rule: untested(rule, work), rules()) for finding in rule]
    return found


def untested(rule, work):
    """What the unit tests do not test of an alert. An alert that never fires must fail one of them; each test lists every
    alert that fires, so one that fires too often fails those in which it must not."""
    name, found = rule["alert"], []
    if not is_noticed(name, "up > 2", work):
        found.append(f"{name}: no unit test in which it fires")
    if not has_quiet_test(rule):
        found.append(f"{name}: no unit test in which its metrics have values and it does not fire")
    return found


def has_quiet_test(rule):
    """Whether there is a test with the metrics of the alert in which it never fires."""
    cases = [case for test in tests(FOLDER) for case in yaml.safe_load(test.read_text())["tests"]]
    for case in cases:
        series = {re.match(r"\w+", item["series"]).group() for item in case["input_series"]}
        fired = str([expected["exp_samples"] for expected in case["promql_expr_test"]])
        if series & set(re.findall(r"\w+", rule["expr"])) and rule["alert"] not in fired:
            return True
    return False


def is_noticed(alert, expression, work):
    """Whether a unit test fails if this is the condition of the alert."""
    folder = work / f"rules-{alert}"
    (folder / "tests").mkdir(parents=True, exist_ok=True)
    changed = yaml.safe_load(RULES.read_text())
    for rule in (rule for group in changed["groups"] for rule in group["rules"]):
        if rule["alert"] == alert:
            rule["expr"] = expression
            rule.pop("for", None)
    (folder / RULES.name).write_text(yaml.safe_dump(changed))
    for test in tests(FOLDER):
        if f'"{alert}"' in test.read_text():
            (folder / "tests" / test.name).write_bytes(test.read_bytes())
    return bool(promtool_findings("test", "rules", *tests(folder)))


def tests(folder):
    return sorted((folder / "tests").glob("*.yml"))


def promtool_findings(*arguments):
    result = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=120)
    return [] if result.returncode == 0 else [result.stdout + result.stderr]
