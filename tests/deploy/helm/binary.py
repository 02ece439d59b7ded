"""Gives what the chart renders to the real program: its settings, its files, its probes."""

import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import tomllib
import urllib.error
import urllib.request

from chart import component
from settings_list import ROOT

BLOGCTL = os.environ["BLOGCTL"]
# The cluster provides what the other credentials need.
NEED_AZURE = ("workload-identity", "key-vault", "docs-aks")
VARIABLES = {"BLOG_DATABASE__URL": "postgres://blog:secret@db.example.com/blog", "BLOG_REDIS__URL": "rediss://:secret@cache.example.com"}
DEADLINE = 60


def commands_exist(objects):
    """What the Job and the test run: the settings of the Job's environment, and its arguments."""
    for item in objects.of_kind("Job") + objects.of_kind("Pod"):
        template = item["spec"].get("template", item)
        container = template["spec"]["containers"][0]
        environment = {"PATH": os.environ["PATH"], "NO_COLOR": "1"}
        if item["kind"] == "Job":
            environment |= image_environment()
            for variable in container["env"]:
                environment[variable["name"]] = VARIABLES[variable["name"]] if "valueFrom" in variable else variable["value"]
        for arguments in (["config"], [*container["args"], "--help"]):
            result = subprocess.run([BLOGCTL, *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                yield f"{item['kind']}: blogctl {' '.join(arguments)}: {(result.stderr + result.stdout).strip()}"
            if arguments == ["config"] and item["kind"] == "Job" and not re.search(r"database.url +postgres://blog", result.stdout):
                yield f"{item['kind']}: the database is {re.findall('database.url.*', result.stdout)}"


class Pod:
    """A pod in a folder: its files at the same paths below it, its settings with these paths."""

    def __init__(self, objects, deployment, folder, pem):
        self.role = component(deployment)
        self.spec = deployment["spec"]["template"]["spec"]
        self.container = self.spec["containers"][0]
        self.folder, self.pem = folder, pem
        self.given = objects.of_role("ConfigMap", self.role)["data"]["blog.toml"]
        self.missing = []
        self.files = self.create_files()
        text = self.given
        for path in re.findall(r'"(/(?:run|data)/[^"]+)"', text):
            self.check_path(path)
        for path in re.findall(r'"(?:sqlite://)?(/data)/[^"]+"', text):
            (folder / path[1:]).mkdir(parents=True, exist_ok=True)
        text = re.sub(r'"((?:sqlite://)?)/(run|data)/', rf'"\g<1>{folder}/\g<2>/', text)
        (folder / "blog.toml").write_text(text)
        self.environment = {"PATH": os.environ["PATH"], "NO_COLOR": "1"} | image_environment()
        for variable in self.container["env"]:
            self.environment[variable["name"]] = VARIABLES[variable["name"]] if "valueFrom" in variable else variable["value"]
        self.environment["BLOG_CONFIG"] = str(folder / "blog.toml")

    def create_files(self):
        """The files that the kubelet would mount: (mount path, names or None if any)."""
        mounted = []
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for mount in self.container["volumeMounts"]:
            volume = volumes[mount["name"]]
            sources = volume.get("projected", {}).get("sources", [volume])
            items = [source.get("secret", source.get("configMap", {})).get("items") for source in sources]
            names = None if None in items else [item["path"] for listed in items for item in listed]
            mounted.append((mount["mountPath"], names))
        return mounted

    def check_path(self, path):
        """The file of a setting is in a volume; creates it."""
        parent, name = path.rsplit("/", 1)
        covering = [names for mount, names in self.files if mount == parent]
        if not covering or (covering[0] is not None and name not in covering[0]):
            self.missing.append(path)
            return
        target = self.folder / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".sock"):
            return
        content = {"cookie-key": base64.b64encode(os.urandom(48)), "headers": b"authorization=Bearer secret"}.get(name, self.pem)
        target.write_bytes(content)
        target.chmod(0o640)


def image_environment():
    """The settings among the variables that the image sets: they win over blog.toml."""
    text = (ROOT / "Dockerfile").read_text()
    blocks = re.findall(r"^ENV (.*(?:\\\n.*)*)", text, re.M)
    return {name: value for block in blocks for name, value in re.findall(r"(BLOG_\w+)=(\S+)", block)}


def findings(name, objects, work, pem):
    yield from commands_exist(objects)
    for deployment in objects.of_kind("Deployment"):
        role = component(deployment)
        folder = work / f"{name}-{role}"
        folder.mkdir()
        pod = Pod(objects, deployment, folder, pem)
        for path in pod.missing:
            yield f"{role}: {path} is in the settings, but no volume has it"
        if not pod.missing:
            yield from (f"{role}: {problem}" for problem in settings_are_accepted(pod))
            if not (role == "client" and name in NEED_AZURE):
                yield from (f"{role}: {problem}" for problem in server_starts(objects, pod))


def settings_are_accepted(pod):
    result = subprocess.run(
        [BLOGCTL, "config", "--json"], cwd=pod.folder, env=pod.environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        yield f"blogctl config: {(result.stderr + result.stdout).strip()}"
        return
    shown = json.loads(result.stdout)
    for name, value in flatten(tomllib.loads((pod.folder / "blog.toml").read_text())):
        if name not in shown:
            yield f"blogctl config does not show {name}"
        elif shown[name]["origin"] != str(pod.folder / "blog.toml"):
            yield f"{name} = {value!r} has no effect: the value comes from {shown[name]['origin']}"
        elif isinstance(value, (bool, int)) and shown[name]["value"] != value:
            yield f"{name} is {shown[name]['value']!r}, expected {value!r}"
    for variable in (name for name, value in VARIABLES.items() if pod.environment.get(name) == value):
        setting = variable.removeprefix("BLOG_").replace("__", ".").lower()
        if shown[setting]["origin"] != f"environment variable {variable}":
            yield f"{setting} comes from {shown[setting]['origin']}"


def flatten(table, path=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def server_starts(objects, pod):
    """Starts the role with these settings; its own probes must succeed or, without Entra ID, find it not ready."""
    environment = {key: value for key, value in pod.environment.items() if key not in VARIABLES}
    port, metrics_port = free_port(), free_port()
    flags = [] if "socket_path" in pod.given else ["--host", "127.0.0.1", "--port", str(port)]
    flags += ["--set", "entra.authority_host=https://127.0.0.1:9"]
    if pod.role == "api":
        flags += ["--set", f"database.url={pod.folder}/start.db"]
    has_metrics = "metrics" in [p["name"] for p in pod.container["ports"]]
    if has_metrics:
        flags += ["--set", f"metrics.port={metrics_port}", "--set", "metrics.host=127.0.0.1"]
    log = (pod.folder / "log").open("w+")
    with subprocess.Popen([BLOGCTL, *pod.container["args"], *flags], cwd=pod.folder, env=environment, stdout=log, stderr=log) as server:
        try:
            yield from probe_until_alive(pod, server, port, environment)
            if has_metrics and server.poll() is None:
                yield from metrics_are_served(objects, pod.role, f"http://127.0.0.1:{metrics_port}/metrics")
        finally:
            log.seek(0)
            text = log.read()
            if server.poll() is None:
                server.send_signal(signal.SIGINT)
                try:
                    server.wait(DEADLINE)
                except subprocess.TimeoutExpired:
                    server.kill()
                    yield f"did not stop: {text[-600:]}"
            log.close()


def metrics_are_served(objects, role, url):
    """The autoscaler's metric is among them, under the name that the adapter looks for."""
    status, text = get(url)
    scaler = objects.of_role("HorizontalPodAutoscaler", role)
    names = [metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"] if "pods" in metric] if scaler else []
    missing = [name for name in names if not re.search(rf"^{name}(\{{[^}}]*\}})? ", text, re.M)]
    if status != 200 or missing:
        yield f"{url} answered {status} without {missing or 'a status of success'}"


def probe_until_alive(pod, server, port, environment):
    deadline = time.monotonic() + DEADLINE
    while (status := probe(pod, "livenessProbe", port, environment)) != "alive":
        if server.poll() is not None or time.monotonic() > deadline:
            text = (pod.folder / "log").read_text()
            yield f"the liveness probe found {status}; {text[-1500:]}"
            return
        time.sleep(0.1)
    ready = probe(pod, "readinessProbe", port, environment)
    if ready not in ("alive", "not ready"):
        yield f"the readiness probe found {ready}"


def probe(pod, kind, port, environment):
    """What the kubelet would see: alive, not ready, or a fault."""
    probe = pod.container[kind]
    if "exec" in probe:
        role_port = {"BLOG_API__PORT" if pod.role == "api" else "BLOG_CLIENT__PORT": str(port)}
        role_host = {"BLOG_API__HOST" if pod.role == "api" else "BLOG_CLIENT__HOST": "127.0.0.1"}
        result = subprocess.run(
            [BLOGCTL, *probe["exec"]["command"][1:]], cwd=pod.folder, env=environment | role_port | role_host, capture_output=True, text=True, check=False
        )
        return {0: "alive", 1: "not ready"}.get(result.returncode, result.stderr)
    http = probe["httpGet"]
    status, _ = get(f"{http['scheme'].lower()}://127.0.0.1:{port}{http['path']}")
    return {200: "alive", 503: "not ready"}.get(status, status)


def get(url):
    """Status and body; the certificate is not verified, as the kubelet does not either."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        return str(error), ""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def certificate(work):
    """A key and a certificate in one PEM file."""
    subprocess.run([BLOGCTL, "cert", "new", "--cn", "chart", "--out", work, "--name", "chart"], check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    return (work / "chart.pem").read_bytes()
