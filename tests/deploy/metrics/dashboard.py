"""The Grafana dashboard: its types by @grafana/schema, its layout, and its queries."""

import json
import os
import subprocess
from pathlib import Path

FILE = Path(__file__).resolve().parents[3] / "deploy/grafana/blogctl.json"
WIDTH = 24

# In JSON, the values of an enumeration are plain text and numbers.
TYPES = """
import type { Dashboard } from '@grafana/schema';
type Plain<T> =
  0 extends 1 & T ? any
  : T extends string ? `${T}`
  : T extends number ? (`${T}` extends `${infer N extends number}` ? N : never)
  : T extends (infer Item)[] ? Plain<Item>[]
  : T extends object ? { [Key in keyof T]: Plain<T[Key]> }
  : T;
export const dashboard: Plain<Partial<Dashboard>> = """


def load():
    return json.loads(FILE.read_text())


def expressions(board):
    queries = [(panel["title"], target["expr"]) for panel in panels(board) for target in panel["targets"]]
    variables = [item for item in board["templating"]["list"] if item["type"] == "query"]
    return queries + [(f"variable {item['name']}", inner(item["query"]["query"])) for item in variables]


def inner(query):
    """The selector in label_values(SELECTOR, LABEL), as a query that names the label."""
    selector, label = query.removeprefix("label_values(").removesuffix(")").rsplit(",", 1)
    return f"count by ({label.strip()}) ({selector})"


def findings(board, families, work):
    del families
    found = type_findings(board, work)
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        found.append("two panels have the same id")
    taken = set()
    for panel in board["panels"]:
        grid = panel.get("gridPos", {"x": 0, "y": 0, "w": 0, "h": 0})
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        if grid["x"] + grid["w"] > WIDTH or cells & taken:
            found.append(f"{panel['title']}: it overlaps another panel or the edge")
        taken |= cells
    for panel in panels(board):
        if not panel["targets"] or any("$job" not in target["expr"] for target in panel["targets"]):
            found.append(f"{panel['title']}: a query without the variables")
    return found


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def type_findings(board, work):
    modules = Path(os.environ["DEPLOY_NODE"]) / "node_modules"
    folder = work / "dashboard"
    folder.mkdir(exist_ok=True)
    link = folder / "node_modules"
    if not link.exists():
        link.symlink_to(modules)
    (folder / "dashboard.ts").write_text(f"{TYPES}{json.dumps(board, indent=1)};\n")
    options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"]
    result = subprocess.run(
        ["node", modules / "typescript/bin/tsc", *options, "dashboard.ts"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )
    return [] if result.returncode == 0 else [result.stdout + result.stderr]
