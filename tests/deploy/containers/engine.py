"""buildah and podman for the checks, with storage, networks and state in the check's own folder, so that nothing stays behind.

As root, containers run with the runtime next to this file, which also works on a machine that delegates no cgroups.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Failed(Exception):
    """What does not hold, as one line."""


def main(check):
    """Runs a check. Its exit code is 1 with one line on failure."""
    # Otherwise an overdue check would end without removing anything, and its ports would lead to containers that are gone.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("FAILED: ended from outside"))
    engine = Engine(Path(os.environ["DEPLOY_WORK"]))
    redirected = redirected_ports()
    try:
        check(engine)
    except Failed as failure:
        sys.exit(f"FAILED: {failure}")
    finally:
        engine.remove()
    left = redirected_ports() - redirected
    if left:
        sys.exit(f"FAILED: ports of this machine still lead to containers: {left}")


def redirected_ports():
    """The rules of this machine that send packets for a port elsewhere."""
    if os.getuid() != 0 or not shutil.which("iptables-save"):
        return set()
    rules = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=False)
    return {line for line in rules.stdout.splitlines() if "DNAT" in line and "--dport" in line and "--to-destination" in line}


def expect(condition, message):
    if not condition:
        raise Failed(message)


class Engine:
    def __init__(self, work):
        self.work = work
        self.storage = work / "storage"
        self.environment = dict(os.environ)
        for name, text in {"storage.conf": self._storage(), "containers.conf": self._containers()}.items():
            (work / name).write_text(text)
        self.environment["CONTAINERS_STORAGE_CONF"] = str(work / "storage.conf")
        self.environment["CONTAINERS_CONF"] = str(work / "containers.conf")
        # netavark and the DNS server of networks keep their files here.
        self.environment["XDG_RUNTIME_DIR"] = os.environ.get("XDG_RUNTIME_DIR") or str(self._folder("runtime"))

    def _folder(self, name):
        folder = self.work / name
        folder.mkdir(exist_ok=True)
        return folder

    def _storage(self):
        return f'[storage]\ndriver = "vfs"\ngraphroot = "{self.storage}"\nrunroot = "{self._folder("run")}"\n'

    def _containers(self):
        text = f'[network]\nnetwork_config_dir = "{self._folder("networks")}"\n'
        if os.getuid() != 0:
            return text
        return text + f"""network_backend = "netavark"
[containers]
cgroups = "no-conmon"
log_driver = "k8s-file"
[engine]
runtime = "without-limits"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{self._folder("tmp")}"
[engine.runtimes]
without-limits = ["{HERE / "runtime"}"]
"""

    # --- commands ----------------------------------------------------------------------------------------------------

    def try_run(self, *command, **options):
        return subprocess.run(
            [str(part) for part in command], env=self.environment, capture_output=True, text=True, timeout=240, **options
        )

    def run(self, *command, **options):
        """The output of a command, which must succeed."""
        ended = self.try_run(*command, **options)
        if ended.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: exit code {ended.returncode}: {(ended.stderr or ended.stdout).strip()[-2000:]}")
        return ended.stdout.strip()

    def podman(self, *arguments):
        return self.run("podman", *arguments)

    def build(self, context, *arguments, form="oci", dockerfile=None):
        """Builds an image, and returns its id."""
        return self.run(
            "buildah", "bud", "--quiet", "--no-cache", "--pull-never", "--isolation", "chroot", "--timestamp", "0",
            "--format", form, "-f", dockerfile or context / "Dockerfile", *arguments, context,
        ).splitlines()[-1]

    def certificates(self):
        """The name of an image that has this machine's CA certificates."""
        context = self._folder("certificates")
        expect(Path(CERTIFICATES).exists(), f"{CERTIFICATES} is missing: install ca-certificates")
        shutil.copy(CERTIFICATES, context)
        (context / "Dockerfile").write_text("FROM scratch\nCOPY ca-certificates.crt /etc/ssl/certs/\n")
        self.build(context, "-t", "localhost/certificates")
        return "localhost/certificates"

    def context(self, binary):
        """What `docker build --target prebuilt` reads: the Dockerfile, its files, and the binary."""
        context = self._folder("context")
        shutil.copy(REPOSITORY / "Dockerfile", context)
        shutil.copytree(REPOSITORY / "deploy/image", context / "deploy/image")
        folder = context / f"dist/linux-{ARCHITECTURE}"
        folder.mkdir(parents=True)
        shutil.copy(binary, folder / "blogctl")
        return context

    def prebuilt(self, context, tag, *arguments, **options):
        """Builds the stage `prebuilt`, and returns the id of the image."""
        certificates = [f"--build-arg={name}=localhost/certificates" for name in ("CERTIFICATES_IMAGE", "BUILD_IMAGE")]
        return self.build(
            context, *certificates, f"--build-arg=TARGETARCH={ARCHITECTURE}", "--target", "prebuilt", "-t", tag, *arguments,
            **options,
        )

    # --- containers --------------------------------------------------------------------------------------------------

    def inspect(self, container):
        return json.loads(self.podman("inspect", container))[0]

    def port(self, container, port):
        """The port of this machine that leads to a published port of a container."""
        return int(self.podman("port", container, str(port)).splitlines()[0].rsplit(":", 1)[1])

    def logs(self, container):
        ended = self.try_run("podman", "logs", container)
        return ended.stdout + ended.stderr

    def wait_for(self, what, condition, container=None, seconds=60):
        """Waits until `condition()` is true; the failure shows the end of the container's log."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                log = f"; its log: {self.logs(container)[-2000:]}" if container else ""
                raise Failed(f"{what} did not happen within {seconds} s{log}")
            time.sleep(0.1)

    def remove(self):
        """Removes every container, network and file."""
        # The second time removes containers whose network others have used.
        for _ in range(2):
            self.try_run("podman", "rm", "--force", "--all", "--time", "0")
        self.try_run("podman", "network", "prune", "--force")
        if os.getuid() != 0:
            # Some files belong to other numbers of this account.
            files = [str(path) for path in self.work.iterdir()]
            subprocess.run(["podman", "unshare", "rm", "-rf", "--one-file-system", *files], env=self.environment, check=False)


def status_of(url, headers=None):
    """The status of a response, or 0 without one."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
