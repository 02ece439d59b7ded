"""An image with PostgreSQL, Redis and Caddy from this machine, for checks without a registry of images.

It follows the images that deploy/compose.yaml names where that file depends on them: variables, user, folders, commands.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from engine import expect

POSTGRES_START = """#!/bin/sh
set -e
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
    initdb -D "$data" --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 --locale=C --no-sync \
        $POSTGRES_INITDB_ARGS
    echo 'host all all all scram-sha-256' >> "$data/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB;" | postgres --single -D "$data" postgres
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
"""
PASSWD = "root:x:0:0:root:/:/bin/sh\npostgres:x:999:999:postgres:/:/bin/sh\n"
DOCKERFILE = """FROM scratch
COPY root/ /
COPY --chown=999:999 empty/ /var/lib/postgresql/
ENV PATH=/usr/local/bin:/usr/bin:/bin
"""


def build(engine, caddy):
    """Builds localhost/postgres, localhost/redis and localhost/caddy: the same files, with another command each."""
    context = engine.work / "services"
    root = context / "root"
    for folder in ("bin", "lib", "lib64"):
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    expect(versions, "PostgreSQL is missing")
    server = versions[-1].parent
    postgres = [server / name for name in ("postgres", "initdb", "pg_isready")]
    programs = [Path(found) for name in ("sh", "cat", "grep", "redis-server", "redis-cli") if (found := shutil.which(name))]
    for program in programs + postgres:
        copy(root, program)
        for library in libraries(program):
            copy(root, library)
    for library in ("dict_snowball.so", "plpgsql.so"):
        copy(root, server.parent / "lib" / library)
    share = Path("/usr/share/postgresql") / server.parent.name
    shutil.copytree(share, root / str(share).lstrip("/"), ignore=shutil.ignore_patterns("man", "locale"))
    shutil.copytree("/usr/share/zoneinfo/Etc", root / "usr/share/zoneinfo/Etc")
    copy(root, Path("/usr/share/zoneinfo/UTC"))
    bin_folder = root / "usr/local/bin"
    bin_folder.mkdir(parents=True)
    for program in postgres:
        (bin_folder / program.name).symlink_to(program)
    shutil.copy(caddy, bin_folder / "caddy")
    start = bin_folder / "start-postgres"
    start.write_text(POSTGRES_START)
    start.chmod(0o755)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (context / "empty").mkdir()
    for name, command in {
        "postgres": '["start-postgres"]',
        "redis": '["redis-server"]',
        "caddy": '["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]',
    }.items():
        environment = "ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config\n" if name == "caddy" else ""
        (context / "Dockerfile").write_text(f"{DOCKERFILE}{environment}CMD {command}\n")
        engine.build(context, "-t", f"localhost/{name}")


def copy(root, file):
    target = root / str(file).lstrip("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(file), target)


def libraries(program):
    output = subprocess.run(["ldd", os.path.realpath(program)], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", output)
