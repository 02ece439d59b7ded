"""Compiles in the Dockerfile's stage `build`, twice, without a registry of images.

The base image is Debian 12 made by mmdebstrap; this machine's Rust toolchain and downloaded crates are mounted into it.
"""

import subprocess
from pathlib import Path

from engine import REPOSITORY, Failed, expect

DEBIAN = "bookworm"
PACKAGES = "ca-certificates,gcc,g++,libc6-dev,make,perl"
BASE = """FROM scratch
ADD base.tar /
ENV PATH=/opt/rust/bin:/usr/bin:/bin CARGO_HOME=/opt/cargo CARGO_NET_OFFLINE=true
"""


def compile_twice(engine):
    make_base(engine)
    ids = [build(engine, number) for number in (1, 2)]
    expect(ids[0] == ids[1], f"two builds that compile have two ids, {ids[0]} and {ids[1]}")
    print(f"two builds that compile have the id {ids[0][:19]}")


def make_base(engine):
    context = engine.work / "base"
    context.mkdir()
    engine.run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, context / "base.tar")
    (context / "Dockerfile").write_text(BASE)
    engine.build(context, "-t", "localhost/rust-build")


def build(engine, number):
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    registry = Path.home() / ".cargo/registry"
    if not registry.is_dir():
        raise Failed(f"{registry} is missing: run cargo fetch --locked")
    command = [
        "buildah", "bud", "--no-cache", "--pull-never", "--isolation", "chroot", "--timestamp", "0", "--format", "oci",
        "--build-arg=BUILD_IMAGE=localhost/rust-build", "--build-arg=CERTIFICATES_IMAGE=localhost/rust-build",
        f"--volume={sysroot}:/opt/rust:ro", f"--volume={registry}:/opt/cargo/registry",
        "--ignorefile", REPOSITORY / ".dockerignore", "--target", "runtime", "-t", f"localhost/compiled:{number}", REPOSITORY,
    ]  # fmt: skip
    log = engine.work / f"build-{number}.log"
    with log.open("w") as output:
        ended = subprocess.run([str(part) for part in command], env=engine.environment, stdout=output, stderr=output, timeout=7200)
    if ended.returncode != 0:
        raise Failed(f"the build stage failed: {log.read_text()[-3000:]}")
    return engine.inspect(f"localhost/compiled:{number}")["Id"]
