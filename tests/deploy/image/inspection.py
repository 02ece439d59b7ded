"""What an image must be: no root, no shell, no libraries, small, labelled, with a health check and a list of dependencies."""

import json
import stat
import subprocess
import tempfile
import zlib
from pathlib import Path

# Bytes of all files, uncompressed.
MOST_BYTES = 40_000_000
FILES = {
    "data/.keep",
    "etc/group",
    "etc/nsswitch.conf",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "tmp/.keep",
    "usr/bin/blogctl",
}
LABELS = ("title", "description", "licenses", "version", "revision", "created", "source")
HEALTH = ["CMD", "/usr/bin/blogctl", "health"]


def findings(root, config):
    """Everything that is wrong with an unpacked image and its configuration in Docker's form."""
    yield from of_configuration(config)
    yield from of_files(root)
    yield from of_binary(root / "usr/bin/blogctl")


def of_configuration(config):
    if config.get("User") != "65532:65532":
        yield f"it runs as {config.get('User') or 'root'}, not as 65532:65532"
    if config.get("Entrypoint") != ["/usr/bin/blogctl"]:
        yield f"its entry point is {config.get('Entrypoint')}, not the binary itself"
    health = config.get("Healthcheck") or {}
    if health.get("Test") != HEALTH:
        yield f"its health check is {health.get('Test')}, not {HEALTH}: without a shell it needs the exec form"
    labels = config.get("Labels") or {}
    for name in LABELS:
        if not labels.get(f"org.opencontainers.image.{name}"):
            yield f"it has no label org.opencontainers.image.{name}"
    for port in ("5000/tcp", "8000/tcp", "9464/tcp"):
        if port not in (config.get("ExposedPorts") or {}):
            yield f"it does not expose {port}"


def of_files(root):
    files = {str(path.relative_to(root)): path for path in root.rglob("*") if not path.is_dir()}
    for name in sorted(set(files) - FILES):
        yield f"it has the file /{name}, which nothing needs"
    for name in sorted(FILES - set(files)):
        yield f"it has no file /{name}"
    size = sum(path.lstat().st_size for path in files.values())
    if size > MOST_BYTES:
        yield f"its files have {size:,} bytes, more than {MOST_BYTES:,}"
    for path in [root, *root.rglob("*")]:
        mode = path.lstat().st_mode
        if mode & (stat.S_ISUID | stat.S_ISGID):
            yield f"/{path.relative_to(root)} has a set-user or set-group bit"
        if mode & stat.S_IWOTH and not path.is_symlink():
            yield f"/{path.relative_to(root)} is writable for every user"


def of_binary(binary):
    if not binary.exists():
        return
    headers = subprocess.run(["readelf", "--program-headers", binary], capture_output=True, text=True, check=False).stdout
    if "INTERP" in headers or "LOAD" not in headers:
        yield "its binary is not a static program for Linux"
    names = dependencies(binary)
    for name in ("blogctl", "openssl-src", "rustls"):
        if name not in names:
            yield f"its binary's list of dependencies has no {name}: build it with cargo auditable"


def dependencies(binary):
    """The names in the list that cargo-auditable puts into a binary."""
    with tempfile.TemporaryDirectory() as folder:
        section = Path(folder, "section")
        subprocess.run(
            ["objcopy", "--dump-section", f".dep-v0={section}", binary, Path(folder, "unused")], capture_output=True, check=False
        )
        if not section.exists():
            return set()
        return {package["name"] for package in json.loads(zlib.decompress(section.read_bytes()))["packages"]}
