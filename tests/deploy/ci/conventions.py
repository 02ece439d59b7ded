"""What the linters do not know about this repository's automation.

usage: conventions.py FOLDER
"""

import re
import sys
from pathlib import Path

import yaml

root = Path(sys.argv[1])
problems: list[str] = []
PINNED = re.compile(r"^(?P<action>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+(\.\d+)*)$")


def check_pins() -> None:
    """Every action has a commit and a version, and an action has the same ones everywhere."""
    seen: dict[str, str] = {}
    for file in sorted((root / ".github/workflows").glob("*.yml")):
        for line in file.read_text().splitlines():
            uses = re.match(r"\s*(?:- )?uses: (.*)", line)
            if not uses or uses[1].startswith(("./", "$/")):
                continue
            pin = PINNED.match(uses[1])
            if not pin:
                problems.append(f"{file.name}: {uses[1]}: expected OWNER/NAME@COMMIT # VERSION")
                continue
            repository = "/".join(pin["action"].split("/")[:2])
            known = seen.setdefault(repository, f"{pin['commit']} # {pin['version']}")
            if known != f"{pin['commit']} # {pin['version']}":
                problems.append(f"{file.name}: {repository} is pinned to two versions")


def check_permissions() -> None:
    """A workflow has no rights; each job names its own."""
    for file in sorted((root / ".github/workflows").glob("*.yml")):
        workflow = yaml.safe_load(file.read_text())
        if workflow.get("permissions") != {}:
            problems.append(f"{file.name}: expected permissions: {{}} for the workflow")
        for name, job in workflow["jobs"].items():
            if not isinstance(job.get("permissions"), dict) or not job["permissions"]:
                problems.append(f"{file.name}: job {name} names no permissions")


def check_tools() -> None:
    """install-tools finds one version of each tool that a workflow installs."""
    lists = [root / ".ci/crates", *Path("tests/deploy").glob("*/crates")]
    versions: dict[str, set[str]] = {}
    for line in "\n".join(file.read_text() for file in lists).splitlines():
        if line.strip() and not line.startswith("#"):
            name, version = line.split()[:2]
            versions.setdefault(name, set()).add(version)
    for file in sorted((root / ".github/workflows").glob("*.yml")):
        for tools in re.findall(r"\.ci/install-tools ([a-z -]+)", file.read_text()):
            for tool in tools.split():
                if len(versions.get(tool, ())) != 1:
                    problems.append(f"{file.name}: {tool} has not one version: {sorted(versions.get(tool, ()))}")


def check_updates() -> None:
    """Dependabot knows every list of dependencies."""
    config = yaml.safe_load((root / ".github/dependabot.yml").read_text())
    known: dict[str, set[str]] = {}
    for update in config["updates"]:
        folders = update.get("directories", [update.get("directory")])
        known.setdefault(update["package-ecosystem"], set()).update(folders)
    here = Path()
    files = {
        "pip": here.glob("tests/*/requirements.txt"),
        "npm": here.glob("tests/*/package.json"),
        "cargo": here.glob("Cargo.toml"),
        "docker": here.glob("Dockerfile"),
    }
    for ecosystem, found in files.items():
        for file in found:
            folder = "/" + ("" if file.parent == here else file.parent.as_posix())
            if folder not in known.get(ecosystem, ()):
                problems.append(f"dependabot.yml: {ecosystem} lacks {folder}")


for check in (check_pins, check_permissions, check_tools, check_updates):
    check()
for problem in problems:
    print(problem)
sys.exit(bool(problems))
