"""Compares the API on PostgreSQL with pgbench: `benches/run --database postgres` calls this. Standard library only.

pgbench executes the statements that the API sends, taken from the server's log with their values, on as many connections to the
same server. So it shows what the server can do for any program, and the ratio what the API adds. Rounds are interleaved. On a
busy machine, only the ratios mean something.
"""

import glob
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import measure
from measure import BLOGCTL, CONNECTIONS, TENANT, WORK, say

# The default of database.pool_size.
POOL_SIZE = 10

# name, description, kind in load.lua, a word of its statement, and the goal as a share of pgbench's transactions per second
SCENARIOS = [
    ("by_id", "`GET /v1/posts/{id}`, random ids", "by_id", "SELECT", 0.5),
    ("list", "newest 20", "list", "SELECT", 0.5),
    ("create", "`POST /v1/posts`", "write", "INSERT", 0.6),
]
MAX_CPU_US = 35


# With the rows in the tables, since the measured writes add some.
SIZES = """
    SELECT c.relname || CASE WHEN c.relkind = 'r' THEN ' (' || s.n_live_tup || ' rows)' ELSE '' END,
           round((CASE relkind WHEN 'r' THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END) / 1048576.0, 1)
    FROM pg_class AS c LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND pg_total_relation_size(c.oid) > 1000000
    ORDER BY relkind DESC, 2 DESC"""


class Postgres:
    """A private server with its default settings, so with every commit durable."""

    def __init__(self):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not programs:
            sys.exit("error: PostgreSQL is not installed (apt-get install postgresql)")
        self.programs = Path(programs[-1])
        data = WORK / "postgres"
        data.mkdir()
        # It does not run as root.
        self.account = {}
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            self.account = {"user": "postgres", "group": "postgres", "extra_groups": []}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/blog"
        initialise = ["initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]
        self.run(*initialise)
        self.log_path = WORK / "postgres.log"
        self.log = self.log_path.open("wb")
        command = [self.programs / "postgres", "-D", data, "-p", self.port, "-c", "listen_addresses=127.0.0.1",
                   "-c", "unix_socket_directories=", "-c", "lc_messages=C", "-c", "log_line_prefix="]
        self.process = subprocess.Popen([str(part) for part in command], cwd=data, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, **self.account)
        deadline = time.monotonic() + 60
        while subprocess.run([self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"error: PostgreSQL did not start:\n{self.log_path.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        self.sql("CREATE DATABASE blog", database="postgres")

    def run(self, program, *arguments):
        command = [str(part) for part in [self.programs / program, *arguments]]
        ran = subprocess.run(command, cwd="/", capture_output=True, text=True, **self.account)
        if ran.returncode:
            sys.exit(f"error: {program}: {ran.stderr}")
        return ran.stdout

    def sql(self, text, database="blog"):
        return self.run("psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres",
                        "-d", database, "-c", text)

    def capture(self, request, word):
        """The statement of a request that begins with a word, or holds it, and its values."""
        self.sql("ALTER SYSTEM SET log_min_duration_statement = 0")
        self.sql("SELECT pg_reload_conf()")
        time.sleep(0.5)
        begin = self.log_path.stat().st_size
        request()
        time.sleep(0.5)
        self.sql("ALTER SYSTEM RESET log_min_duration_statement")
        self.sql("SELECT pg_reload_conf()")
        text = self.log_path.read_bytes()[begin:].decode(errors="replace")
        found = re.findall(r"execute \S+: (.*)\n(?:DETAIL:  parameters: (.*)\n)?", text)
        statements = [(sql, values) for sql, values in found if word in sql and "blog_posts" in sql]
        if len(statements) != 1:
            sys.exit(f"error: expected one statement with {word}: {found}")
        sql, values = statements[0]
        return sql, [value.replace("''", "'") for value in re.findall(r"\$\d+ = '((?:[^']|'')*)'", values)]

    def pgbench(self, statement, seconds, posts, random_id):
        sql, values = statement
        script = WORK / "pgbench.sql"
        lines = [f"\\set p1 random(1, {posts})"] if random_id else []
        lines.append(re.sub(r"\$(\d+)", r":p\1", sql) + ";")
        script.write_text("\n".join(lines) + "\n")
        given = [part for number, value in enumerate(values, 1) for part in ("-D", f"p{number}={value}")]
        run = lambda length: self.run("pgbench", "-n", "-M", "prepared", "-c", POOL_SIZE, "-j", measure.WORKERS, "-T", length,
                                      "-f", script, *given, "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "blog")
        run(1)
        return float(re.search(r"tps = ([\d.]+)", run(seconds)).group(1))

    def stop(self):
        if self.process.poll() is None:
            # Fast shutdown.
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class System(measure.System):
    """The Entra ID emulator, and the API on PostgreSQL with a database of posts."""

    def __init__(self, servers, postgres, options):
        self.posts, self.cursor = options.posts, ""
        say(f"seeding {self.posts} posts")
        measure.blogctl("migrate", "run", "--set", f"database.url={postgres.url}")
        measure.blogctl("seed", "--yes", "--users", "50", "--count", self.posts, "--set", f"database.url={postgres.url}",
                        "--set", f"entra.tenant_id={TENANT}")
        postgres.sql("VACUUM ANALYZE")
        measure.blogctl("cert", "new", "--out", ".blogctl")
        self.idp = servers.start("idp", [BLOGCTL, "serve-idp", "--port", "0"])
        self.idp.url = "http://localhost:" + self.idp.wait_for(r"http://\S+:(\d+)")
        self.api = measure.start_api(servers, self.idp, postgres.url)
        self.tokens = {"good": self.mint("current")}
        (WORK / "good.token").write_text(self.tokens["good"])
        measure.wait_until(lambda: self.get("/v1/posts/1")[0] == 200)

    def create(self):
        body = json.dumps({"title": "Written under load", "content": " ".join(f"{n:03}e" for n in range(90))})
        headers = {"Authorization": f"Bearer {self.tokens['good']}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.api.url}/v1/posts", body.encode(), headers)) as response:
            return response.status


def main(options):
    if not BLOGCTL.exists():
        sys.exit("error: the release build is missing: use benches/run, which builds it")
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    servers, postgres = measure.Servers(), Postgres()
    try:
        system = System(servers, postgres, options)
        requests = {
            "by_id": lambda: system.get("/v1/posts/1"),
            "list": lambda: system.get("/v1/posts?limit=20"),
            "create": system.create,
        }
        # The first request makes a user of the caller.
        system.create()
        statements = {name: postgres.capture(requests[name], word) for name, _, _, word, _ in SCENARIOS}
        runs = {name: [] for name in statements}
        for round_number in range(1, options.rounds + 1):
            for name, _, kind, _, _ in SCENARIOS:
                say(f"round {round_number} of {options.rounds}: {name}")
                server = postgres.pgbench(statements[name], options.seconds, system.posts, name == "by_id")
                api = measure.load(system, system.api, kind, "good", options.seconds, round_number)
                runs[name].append({**api, "pgbench": round(server), "ratio": round(api["per_second"] / server, 3)})
        sizes = postgres.sql(SIZES)
        table = report(runs, sizes, options)
        out = WORK.parent / "postgres.json"
        out.write_text(json.dumps(runs, indent=2) + "\n")
        (WORK.parent / "postgres.md").write_text(table)
        print(table)
    finally:
        servers.stop_all()
        postgres.stop()


def report(runs, sizes, options):
    load = os.getloadavg()[0]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {measure.WORKERS} processors, load {load:.1f}; {options.posts:,} posts, {CONNECTIONS} "
        f"clients of the API, {POOL_SIZE} connections of pgbench; medians of {options.rounds} rounds of {options.seconds} s. "
        "wrk, pgbench and PostgreSQL run on the same processors.\n",
        "| what | API req/s | pgbench tps | ratio | goal | p50 / p99 ms | API CPU µs |", "|---|---|---|---|---|---|---|",
    ]
    for name, what, _, _, goal in SCENARIOS:
        median = {key: statistics.median(run[key] for run in runs[name])
                  for key in ("per_second", "pgbench", "ratio", "p50_ms", "p99_ms", "cpu_us")}
        missed = "" if median["ratio"] >= goal else " **missed**"
        lines.append(f"| {what} | {median['per_second']:,.0f} | {median['pgbench']:,.0f} | {median['ratio']:.2f} | "
                     f"≥ {goal}{missed} | {median['p50_ms']:.2f} / {median['p99_ms']:.2f} | {median['cpu_us']:.1f} |")
    cpu = statistics.median(run["cpu_us"] for run in runs["by_id"])
    lines.append(f"\n- CPU of the API for a post by id: {cpu:.1f} µs (goal ≤ {MAX_CPU_US}"
                 f"{'' if cpu <= MAX_CPU_US else ', **missed**'}).")
    lines += ["", "| table or index | MiB |", "|---|---|"]
    lines += ["| `{}` | {} |".format(*row.split("|")) for row in sizes.splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(measure.arguments())
