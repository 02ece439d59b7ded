"""The metrics of a running process."""

import os
import re
import subprocess
import urllib.request


def findings(documented, work):
    """What is wrong with the metrics of `blogctl dev`."""
    folder = work / "dev"
    folder.mkdir()
    ports = [argument for name in ("idp", "api", "client") for argument in (f"--{name}-port", "0")]
    settings = ["--set", "metrics.enabled=true", "--set", "metrics.port=0"]
    command = [os.environ["BLOGCTL"], "dev", *ports, *settings]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        addresses = {}
        for line in process.stdout:
            match = re.search(r"^ +(Web site|API|Metrics) +(http\S+)", line)
            if match:
                addresses[match.group(1)] = match.group(2)
            if "Ctrl-C" in line:
                break
        for url in (addresses["API"] + "/health/live", addresses["Web site"]):
            urllib.request.urlopen(url, timeout=30).read()
        text = urllib.request.urlopen(addresses["Metrics"], timeout=30).read().decode()
    finally:
        process.terminate()
        process.wait(timeout=30)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=30
    )
    said = checked.stdout + checked.stderr
    found = [f"promtool check metrics: {said}"] if said.strip() or checked.returncode else []
    exposed = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    found += [f"{name} is not documented" for name in sorted(exposed - documented.keys())]
    if len(exposed) < 20:
        found.append(f"only {len(exposed)} families are exposed")
    return found
