"""Measures a release build of the API; `benches/run` builds it and calls this. Standard library only.

The servers run in a separate folder under target/bench (on a disk, which /tmp often is not) and on free ports, and are
stopped at the end. The settings are the defaults, except that the rate limits are so high that they are checked but never
reached. Rounds are interleaved, so that a noisy minute affects all measurements equally. The results are medians.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOGCTL = ROOT / "target/release/blogctl"
COMPARATOR = ROOT / "target/release/comparator"
WORK = ROOT / "target/bench/work"
PAGE = ROOT / "docs/performance.md"
CLIENT = "c11e0000-0000-4000-8000-000000005000"
API = "a9100000-0000-4000-8000-000000008000"
TENANT = "11111111-2222-4333-8444-555555555555"
CONNECTIONS = 64
WORKERS = os.cpu_count() or 1
TICKS = os.sysconf("SC_CLK_TCK")

# name, description, kind in load.lua, token, and the goal as a share of the requests per second of the ceiling
SCENARIOS = [
    ("ceiling", "constant JSON of a post's size, bare web server: the ceiling", "any", None, None),
    ("live", "`GET /health/live`", "live", None, 0.9),
    ("ready", "`GET /health/ready`", "ready", None, None),
    ("by_id", "`GET /v1/posts/{id}`, random ids", "by_id", "good", 0.75),
    ("list", "newest 20", "list", "good", 0.35),
    ("by_cursor", "20 from the middle, by cursor", "by_cursor", "good", None),
    ("by_skip", "20 at nine tenths, by `skip`", "by_skip", "good", None),
    ("search", "20 best of a search for two words", "search", "good", None),
    ("search_new_alone", "the same, typed in another way each time, one client", "search_new_alone", "good", None),
    ("by_id_gzip", "`GET /v1/posts/{id}`, random ids, `Accept-Encoding: gzip`", "by_id_gzip", "good", None),
    ("list_gzip", "newest 20, `Accept-Encoding: gzip`", "list_gzip", "good", None),
    ("by_cursor_gzip", "20 from the middle, by cursor, `Accept-Encoding: gzip`", "by_cursor_gzip", "good", None),
    ("list_alone", "newest 20, one keep-alive client", "list_alone", "good", None),
    ("list_gzip_alone", "newest 20, one keep-alive client, `Accept-Encoding: gzip`", "list_gzip_alone", "good", None),
    ("forged", "a forged token, the same each time", "forged", "forged", 0.5),
    ("forged_new", "a forged token, another each time", "forged_new", "forged", None),
    ("naive", "a post by the obvious way: a transaction each, no tokens", "write", "good", None),
    ("write", "`POST /v1/posts`", "write", "good", None),
    ("mixed", "nine `GET` of random ids to one `POST`", "mixed", "good", None),
]


def main():
    options = arguments()
    if not BLOGCTL.exists() or not COMPARATOR.exists():
        sys.exit("error: the release build is missing: use benches/run, which builds it")
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    servers = Servers()
    try:
        result = {"machine": machine(), "options": vars(options)}
        system = System(servers, options)
        result["posts"] = options.posts
        result["post_bytes"] = system.post_bytes
        result["start_rss_mib"] = system.api.rss()
        result["scenarios"] = interleaved(system, options)
        result["end_rss_mib"] = system.api.rss()
        if options.soak:
            result["soak"] = soak(system, options)
        system.stop()
        if options.million:
            result["million"] = million(servers, options)
    finally:
        servers.stop_all()
    table = render(result)
    out = WORK.parent
    (out / "results.json").write_text(json.dumps(result, indent=2) + "\n")
    (out / "results.md").write_text(table)
    print("\n" + table)
    print(f"written: {out / 'results.md'}, {out / 'results.json'}")
    if options.all:
        update_page(table)
        print(f"written: {PAGE}")
    shutil.rmtree(WORK, ignore_errors=True)


def arguments():
    parser = argparse.ArgumentParser(prog="benches/run", description="Measures the API against the bare web server.")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite",
                        help="postgres: compare the API on PostgreSQL with pgbench instead")
    parser.add_argument("--seconds", type=int, default=5, help="seconds per measurement (5)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all measurements (3)")
    parser.add_argument("--posts", type=int, default=100_000, help="posts in the database (100000)")
    parser.add_argument("--only", default="", help="only these measurements, separated by commas")
    parser.add_argument("--million", action="store_true", help="also measure a million posts: seeding, deep pages")
    parser.add_argument("--soak", action="store_true", help="also run five minutes of mixed load, and measure memory")
    parser.add_argument("--soak-seconds", type=int, default=300, help="seconds of that mixed load (300)")
    parser.add_argument("--all", action="store_true", help="measure everything, and write the figures to docs/performance.md")
    options = parser.parse_args()
    if options.all:
        options.million = options.soak = True
    return options


# --- servers ---------------------------------------------------------------------------------------------------------


class Server:
    """A process that this script started, and its CPU time and memory."""

    def __init__(self, name, command, environment=None):
        self.log = open(WORK / f"{name}.log", "wb")
        self.log_path = WORK / f"{name}.log"
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=WORK, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env={**os.environ, **(environment or {})},
        )
        self.name = name
        self.url = None

    def wait_for(self, pattern):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log_path.read_text(errors="replace"))
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        sys.exit(f"error: {self.name} did not start:\n{self.log_path.read_text(errors='replace')[-2000:]}")

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self):
        """Resident memory, and the part of it that is not a mapped file, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        kib = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", status, re.M)}
        return {"all": round(kib["VmRSS"] / 1024), "anonymous": round(kib["RssAnon"] / 1024)}

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class Servers(list):
    def start(self, *arguments, **named):
        self.append(Server(*arguments, **named))
        return self[-1]

    def stop_all(self):
        for server in self:
            server.stop()


class System:
    """The Entra ID emulator, and the API with a database of posts."""

    def __init__(self, servers, options):
        self.database = WORK / "blog.db"
        self.posts = options.posts
        self.servers = servers
        say(f"seeding {self.posts} posts")
        blogctl("seed", "--yes", "--users", "50", "--count", self.posts, "--set", f"database.url={self.database}",
                "--set", f"entra.tenant_id={TENANT}")
        # The site's app registration needs a certificate, although the site is not started.
        blogctl("cert", "new", "--out", ".blogctl")
        self.idp = servers.start("idp", [BLOGCTL, "serve-idp", "--port", "0"])
        self.idp.url = "http://localhost:" + self.idp.wait_for(r"http://\S+:(\d+)")
        self.api = start_api(servers, self.idp, self.database)
        self.tokens = {"good": self.mint("current"), "forged": self.mint("foreign")}
        for name, token in self.tokens.items():
            (WORK / f"{name}.token").write_text(token)
        wait_until(lambda: self.get("/v1/posts/1")[0] == 200)
        sample = [len(self.get(f"/v1/posts/{1 + i * self.posts // 50}")[1]) for i in range(50)]
        self.post_bytes = round(statistics.mean(sample))
        link = self.get(f"/v1/posts?limit=1&skip={self.posts // 2}")[2]["Link"]
        self.cursor = re.search(r"after=([^&>]+)", link).group(1)
        self.ceiling = servers.start("ceiling", [COMPARATOR, "constant", self.post_bytes, WORKERS])
        self.ceiling.url = "http://127.0.0.1:" + self.ceiling.wait_for(r"^(\d+)")
        # A separate copy, so that neither writer grows the file of the other.
        naive = WORK / "naive.db"
        copy_database(self.database, naive)
        self.naive = servers.start("naive", [COMPARATOR, "naive", naive, WORKERS])
        self.naive.url = "http://127.0.0.1:" + self.naive.wait_for(r"^(\d+)")

    def mint(self, sign_with):
        body = {"client_id": CLIENT, "scope": f"api://{API}/access_as_user", "sign_with": sign_with}
        request = urllib.request.Request(
            f"{self.idp.url}/_control/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)["token"]

    def get(self, path):
        request = urllib.request.Request(self.api.url + path, headers={"Authorization": f"Bearer {self.tokens['good']}"})
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.read(), response.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def server_of(self, scenario):
        return {"ceiling": self.ceiling, "naive": self.naive}.get(scenario, self.api)

    def stop(self):
        for server in (self.ceiling, self.naive, self.api, self.idp):
            server.stop()


def start_api(servers, idp, database):
    settings = [
        "[server]", f"workers = {WORKERS}",
        "[entra]", f'tenant_id = "{TENANT}"', f'authority_host = "{idp.url}"',
        "[api]", "port = 0", f'app_id_uri = "api://{API}"', *high_limits(),
        "[database]", f'url = "{database}"',
    ]
    (WORK / "blog.toml").write_text("\n".join(settings) + "\n")
    api = servers.start("api", [BLOGCTL, "serve-api"], environment={"BLOG_SERVER__ENVIRONMENT": "development"})
    api.url = api.wait_for(r"(http://\S+:\d+)")
    return api


def high_limits():
    """The highest rate limits that the settings allow. They are still checked."""
    names = re.findall(r"^#(limit_\w+) *=", (ROOT / "blog.toml").read_text(), re.M)
    return [f"{name} = 100000000" for name in names]


def copy_database(source, target):
    """Copies a database with everything committed, while another process has it open."""
    with sqlite3.connect(source) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(source, target)


# --- measuring -------------------------------------------------------------------------------------------------------


def interleaved(system, options):
    wanted = [name for name in options.only.split(",") if name]
    chosen = [one for one in SCENARIOS if not wanted or one[0] in wanted or one[0] == "ceiling"]
    runs = {name: [] for name, *_ in chosen}
    for round_number in range(1, options.rounds + 1):
        for name, what, kind, token, _ in chosen:
            say(f"round {round_number} of {options.rounds}: {name}")
            runs[name].append(load(system, system.server_of(name), kind, token, options.seconds, round_number))
    ceiling = medians(runs["ceiling"])
    results = {}
    for name, what, _, _, goal in chosen:
        figures = medians(runs[name])
        figures.update({"what": what, "goal": goal, "runs": runs[name]})
        figures["share_of_ceiling"] = round(figures["per_second"] / ceiling["per_second"], 3)
        figures["cpu_to_ceiling"] = round(figures["cpu_us"] / ceiling["cpu_us"], 2)
        results[name] = figures
    return results


def load(system, server, kind, token, seconds, seed, cursor=None, posts=None):
    """One run of wrk, after one second of warm-up that is not counted."""
    connections = 1 if kind.endswith("_alone") else CONNECTIONS
    command = ["wrk", "-t1", f"-c{connections}", "--timeout", "30s", "-s", ROOT / "benches/load.lua"]
    settings = [f"kind={kind}", f"posts={posts or system.posts}", f"cursor={cursor or system.cursor}", f"seed={seed}"]
    settings += [f"token={WORK / token}.token"] if token else []
    run = lambda length: subprocess.run(
        [str(part) for part in [*command, f"-d{length}s", server.url, *settings]],
        capture_output=True, text=True, check=True).stdout
    run(1)
    cpu = server.cpu_seconds()
    output = run(seconds)
    cpu = server.cpu_seconds() - cpu
    found = re.search(r"^RESULT (.*)$", output, re.M)
    if not found:
        sys.exit(f"error: unexpected output of wrk:\n{output}")
    result = json.loads(found.group(1))
    not_2xx = result["not_2xx"]
    expects_errors = kind.startswith("forged")
    if result["broken"] or (not_2xx and not expects_errors) or (expects_errors and not_2xx < result["requests"] * 0.99):
        say(f"  unexpected responses: {result}")
    requests = max(result["requests"], 1)
    return {
        "per_second": round(requests / (result["microseconds"] / 1e6)),
        "p50_ms": result["p50"] / 1000, "p99_ms": result["p99"] / 1000, "max_ms": result["max"] / 1000,
        "cpu_us": round(cpu / requests * 1e6, 1), "rss_mib": server.rss()["all"],
        "anonymous_mib": server.rss()["anonymous"], "not_2xx": not_2xx, "broken": result["broken"],
    }


def medians(runs):
    return {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}


def soak(system, options):
    """Mixed load for minutes. Measures memory after each part; the caches are full after the first."""
    say(f"soaking for {options.soak_seconds} s")
    load(system, system.api, "mixed", "good", max(options.soak_seconds // 10, 1), 900)
    memory, parts = [system.api.rss()], 10
    for part in range(parts):
        figures = load(system, system.api, "mixed", "good", max(options.soak_seconds // parts, 1), 1000 + part)
        memory.append(system.api.rss())
    return {"seconds": options.soak_seconds, "memory_mib": memory, "per_second": figures["per_second"]}


# --- a million posts -------------------------------------------------------------------------------------------------


def million(servers, options):
    count, database = 1_000_000, WORK / "million.db"
    say("a million posts: blogctl seed")
    output = blogctl("seed", "--yes", "--users", "50", "--count", count, "--set", f"database.url={database}",
                     "--set", f"entra.tenant_id={TENANT}")
    result = {
        "seed_seconds": float(re.search(r"time +([\d.]+) s", output).group(1)),
        "index_seconds": float(re.search(r"index +([\d.]+) s", output).group(1)),
    }
    say("a million posts: the same rows by hand")
    result.update(insert_by_hand(database))
    if not (WORK / ".blogctl").exists():
        blogctl("cert", "new", "--out", ".blogctl")
    idp = servers.start("idp2", [BLOGCTL, "serve-idp", "--port", "0"])
    idp.url = "http://localhost:" + idp.wait_for(r"http://\S+:(\d+)")
    system = System.__new__(System)
    system.idp, system.posts, system.cursor = idp, count, ""
    for statistics_of in ("without", "with"):
        if statistics_of == "with":
            say("ANALYZE")
            with sqlite3.connect(database) as connection:
                connection.execute("ANALYZE blog_posts")
                connection.execute("ANALYZE users")
        system.api = api = start_api(servers, idp, database)
        system.tokens = {"good": system.mint("current")}
        (WORK / "good.token").write_text(system.tokens["good"])
        wait_until(lambda: system.get("/v1/posts/1")[0] == 200)
        link = system.get(f"/v1/posts?limit=1&skip={count * 9 // 10}")[2]["Link"]
        deep = re.search(r"after=([^&>]+)", link).group(1)
        link = system.get("/v1/posts?limit=1")[2]["Link"]
        near = re.search(r"after=([^&>]+)", link).group(1)
        runs = {"near": [], "deep": []}
        for seed in range(options.rounds):
            for name, cursor in (("near", near), ("deep", deep)):
                say(f"a million posts, {statistics_of} statistics: {name}")
                runs[name].append(load(system, api, "by_cursor", "good", options.seconds, seed, cursor, count))
        result[f"{statistics_of}_statistics"] = {name: medians(of) for name, of in runs.items()}
        api.stop()
    idp.stop()
    return result


def insert_by_hand(database):
    """Inserts the rows of a database into an empty one with the same schema: executemany, one transaction."""
    target = WORK / "by-hand.db"
    blogctl("migrate", "run", "--set", f"database.url={target}")
    source, into = sqlite3.connect(database), sqlite3.connect(target, isolation_level=None)
    into.execute("PRAGMA synchronous = FULL")
    columns = "id, title, content, author_id, created_at_micros, updated_at_micros"
    users = "id, tid, oid, display_name, created_at_micros, updated_at_micros"
    into.executemany(f"INSERT INTO users ({users}) VALUES (?,?,?,?,?,?)", source.execute(f"SELECT {users} FROM users"))
    rows = source.execute(f"SELECT {columns} FROM blog_posts ORDER BY id")
    seconds = 0.0
    into.execute("BEGIN IMMEDIATE")
    while some := rows.fetchmany(20_000):
        begun = time.perf_counter()
        into.executemany(f"INSERT INTO blog_posts ({columns}) VALUES (?,?,?,?,?,?)", some)
        seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    into.execute("COMMIT")
    seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    into.execute("CREATE VIRTUAL TABLE by_hand USING fts5 (title, content, content = '', "
                 "tokenize = 'unicode61 remove_diacritics 2')")
    into.execute("INSERT INTO by_hand (rowid, title, content) SELECT id, title, content FROM blog_posts")
    index = time.perf_counter() - begun
    into.close()
    target.unlink()
    return {"by_hand_seconds": round(seconds, 2), "by_hand_index_seconds": round(index, 2)}


# --- results ---------------------------------------------------------------------------------------------------------


def machine():
    text = lambda path: Path(path).read_text(errors="replace")
    model = re.search(r"^model name\s*: (.*)$", text("/proc/cpuinfo"), re.M)
    memory = int(re.search(r"^MemTotal:\s+(\d+)", text("/proc/meminfo"), re.M).group(1))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "processors": WORKERS, "model": model.group(1) if model else "unknown",
        "memory_gib": round(memory / 1024 / 1024), "commit_ms": sync_ms(), "load_before": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"), "version": commit.stdout.strip(),
    }


def sync_ms():
    """Milliseconds that the disk takes to make 4 KiB durable: the median of a hundred writes."""
    file = os.open(WORK / "sync", os.O_CREAT | os.O_WRONLY)
    times = []
    for _ in range(100):
        os.write(file, b"x" * 4096)
        begun = time.perf_counter()
        os.fdatasync(file)
        times.append(time.perf_counter() - begun)
    os.close(file)
    return round(statistics.median(times) * 1000, 3)


def render(result):
    one, lines = result["machine"], []
    lines.append(
        f"{one['date']}, {one['processors']} processors ({one['model']}), {one['memory_gib']} GiB; a 4 KiB write made "
        f"durable in {one['commit_ms']} ms; load before {one['load_before']:.1f}. {result['posts']:,} posts of "
        f"{result['post_bytes']} bytes of JSON, {CONNECTIONS} connections, medians of {result['options']['rounds']} "
        f"rounds of {result['options']['seconds']} s; wrk runs on the same processors.\n")
    lines.append("| what | req/s | of the ceiling | goal | p50 / p99 ms | p99 ÷ p50 | server CPU µs | × ceiling's | RSS MiB |")
    lines.append("|---|---|---|---|---|---|---|---|---|")
    scenarios = result["scenarios"]
    for name, s in scenarios.items():
        goal = "" if s["goal"] is None else f"≥ {s['goal']}{'' if s['share_of_ceiling'] >= s['goal'] else ' **missed**'}"
        lines.append(
            f"| {s['what']} | {s['per_second']:,.0f} | {s['share_of_ceiling']} | {goal} | {s['p50_ms']:.2f} / "
            f"{s['p99_ms']:.2f} | {s['p99_ms'] / max(s['p50_ms'], 0.001):.1f} | {s['cpu_us']} | {s['cpu_to_ceiling']} | "
            f"{s['rss_mib']:.0f} |")
    lines.append("")
    if "write" in scenarios and "naive" in scenarios:
        write, naive = scenarios["write"], scenarios["naive"]
        lines.append(
            f"- Writes: {write['per_second'] / max(naive['per_second'], 1):.1f} × the rate of a transaction per request "
            f"(goal ≥ 8), p99 {write['p99_ms']:.1f} ms (goal ≤ 10; a transaction each: {naive['p99_ms']:.0f} ms).")
    begin, end = result["start_rss_mib"], result["end_rss_mib"]
    lines.append(f"- Memory of the API: {begin['all']} MiB at start, {end['all']} MiB after all this "
                 f"({end['anonymous']} MiB without mapped files).")
    if "soak" in result:
        memory = [at["anonymous"] for at in result["soak"]["memory_mib"]]
        lines.append(f"- {result['soak']['seconds']} s of mixed load: anonymous memory {memory[0]} MiB after the first "
                     f"tenth, {memory[-1]} MiB at the end ({', '.join(map(str, memory))}).")
    if "million" in result:
        m = result["million"]
        lines.append(
            f"- A million posts: `blogctl seed` {m['seed_seconds']:.1f} s, the same rows by hand "
            f"{m['by_hand_seconds']:.1f} s: {m['seed_seconds'] / m['by_hand_seconds']:.2f} × (goal ≤ 2). The index for "
            f"search after that: {m['index_seconds']:.1f} s, by hand {m['by_hand_index_seconds']:.1f} s.")
        for kind in ("without", "with"):
            near, deep = m[f"{kind}_statistics"]["near"], m[f"{kind}_statistics"]["deep"]
            lines.append(
                f"- A page at nine tenths of a million, by cursor, {kind} `ANALYZE`: {deep['cpu_us']} µs of CPU against "
                f"{near['cpu_us']} µs near the top: {deep['cpu_us'] / near['cpu_us']:.2f} × (goal ≤ 1.2); "
                f"{deep['per_second']:,.0f} against {near['per_second']:,.0f} requests per second.")
    return "\n".join(lines) + "\n"


def update_page(table):
    begin, end = "<!-- benches/run: figures -->\n", "<!-- benches/run: end -->"
    page = PAGE.read_text()
    before, rest = page.split(begin)
    PAGE.write_text(before + begin + "\n" + table + "\n" + end + rest.split(end, 1)[1])


def blogctl(*arguments):
    ran = subprocess.run([str(part) for part in [BLOGCTL, *arguments]], cwd=WORK, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"error: blogctl {arguments[0]}: {ran.stderr}")
    return ran.stdout


def wait_until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            sys.exit("error: the API does not respond")
        time.sleep(0.05)


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
