"""See `check`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import alerts
import dashboard
import names
import scrape

WORK = Path(os.environ["DEPLOY_WORK"])


def main():
    if not shutil.which("promtool"):
        print("promtool is missing: install Debian's package prometheus")
        sys.exit(77)
    documented = names.documented()
    found = [*alerts.findings(WORK), *dashboard.findings(dashboard.load(), documented, WORK)]
    for where, expression in [*alerts.expressions(), *dashboard.expressions(dashboard.load())]:
        found += [f"{where}: {problem}" for problem in names.findings(expression, documented)]
    found += scrape.findings(documented, WORK)
    found += [f"planted fault not found: {fault}" for fault in unnoticed_faults(documented)]
    for finding in found:
        print(finding)
    if found:
        sys.exit(1)
    print(f"{len(documented)} families, {len(alerts.rules())} alerts, {len(dashboard.expressions(dashboard.load()))} queries")


def unnoticed_faults(documented):
    """Faults that the checks must find, and did not."""
    for expression in [
        "rate(blogctl_sign_in_total[5m])",
        'blogctl_sign_ins_total{result="success"}',
        "sum by (rôle) (blogctl_connections)",
        "sum by (route) (http_server_active_requests)",
        "rate(blogctl_sign_ins_total[5m]",
        "blogctl_db_wait_seconds",
    ]:
        if not names.findings(expression, documented):
            yield expression
    for change in [
        lambda board: board.update(timezoone="browser"),
        lambda board: board["panels"][1].update(gridpos=board["panels"][1]["gridPos"]),
        lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(min="0"),
        lambda board: board["panels"][1].update(id=board["panels"][2]["id"]),
        lambda board: board["panels"][1]["gridPos"].update(w=23),
    ]:
        board = dashboard.load()
        change(board)
        if not dashboard.findings(board, documented, WORK):
            difference = [key for key in board if json.dumps(board[key]) != json.dumps(dashboard.load().get(key))]
            yield f"dashboard: {difference}"


if __name__ == "__main__":
    try:
        main()
    except subprocess.TimeoutExpired as error:
        sys.exit(f"{error}")
