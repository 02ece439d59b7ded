"""The program's list of settings, from the two files that a test generates from their declarations.

blog.toml has each setting with its default; docs/settings.md has what it accepts.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

# `blogctl serve-idp` is for development and not part of the chart.
SECTIONS_OF_OTHER_ROLES = {"idp"}

# Values of the chart set these together with ports and Services.
SET_BY_VALUES = {"metrics.enabled", "metrics.port"}


class Setting:
    def __init__(self, name, default, accepts, is_table, is_secret):
        self.name, self.default, self.accepts = name, default, accepts
        self.is_table, self.is_secret = is_table, is_secret

    @property
    def section(self):
        return self.name.split(".")[0]


def all_settings():
    """Every setting of the program, by name."""
    defaults = tomllib.loads(uncommented((ROOT / "blog.toml").read_text()))
    settings = {}
    for line in (ROOT / "docs/settings.md").read_text().splitlines():
        row = re.match(r"\| `(\[\[)?([a-z_]+(?:\.[a-z0-9_]+)+)(?:\]\])?` \|[^|]*\| ([^|]*) \|[^|]*\| (.*) \|$", line)
        if row:
            name = row[2]
            settings[name] = Setting(name, lookup(defaults, name), row[3].strip(), bool(row[1]), " Secret." in f" {row[4]} ")
    if len(settings) < 80:
        raise SystemExit(f"only {len(settings)} settings found in docs/settings.md: has the format of its tables changed?")
    return settings


def chart_settings():
    """The settings that the chart's `settings` accept."""
    return {
        name: setting
        for name, setting in all_settings().items()
        if setting.section not in SECTIONS_OF_OTHER_ROLES and name not in SET_BY_VALUES
    }


def uncommented(text):
    """blog.toml with its values instead of comments: `#key = value` and `#[[table]]` become active."""
    lines = []
    for line in text.splitlines():
        if re.match(r"#\[\[|#[a-z0-9_.]+ = ", line):
            line = line[1:]
        lines.append(line)
    return "\n".join(lines)


def lookup(tables, name):
    value = tables
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
