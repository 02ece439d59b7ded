"""All checks of the chart. See `check`."""

import os
import subprocess
import sys
from pathlib import Path

import binary
import chart
import faults
import invariants
import refusals
import validate


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
    sets = chart.sets()
    pem = binary.certificate(work)
    for name, values in sets.items():
        ok &= report(name, in_set(name, values, work, pem))
    ok &= report(f"{len(refusals.REFUSALS)} values that must be rejected, and every secret", refusals.findings(sets))
    ok &= report(f"{len(faults.FAULTS)} faults that must be found", faults.findings(sets, work))
    sys.exit(not ok)


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


if __name__ == "__main__":
    main()
