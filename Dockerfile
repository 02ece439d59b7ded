# The image of blogctl: the static binary, CA certificates and two writable folders; no shell, and no other program.
#
#   docker build -t blogctl .                                   compiles in the build stage
#   docker build --target prebuilt -t blogctl .                 copies dist/linux-amd64/blogctl or dist/linux-arm64/blogctl
#
# docs/deploy/container.md says how to run it, and how two builds get the same id.

# Debian 12 with the Rust compiler and a C compiler.
ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
# Only its CA certificates are copied. It is a layer of the build image.
ARG CERTIFICATES_IMAGE=docker.io/library/buildpack-deps:bookworm-curl

FROM ${CERTIFICATES_IMAGE} AS certificates

# --- everything but the binary ---------------------------------------------------------------------------------------

FROM scratch AS base
COPY --from=certificates /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# libpq looks up the user by its number, and glibc reads where to look up names of hosts.
COPY deploy/image/root/etc/ /etc/
# SQLite's folder, for those who mount nothing, and a folder for temporary files.
COPY --chown=65532:65532 deploy/image/root/data/ /data/
COPY --chown=65532:65532 deploy/image/root/tmp/ /tmp/
USER 65532:65532
WORKDIR /data
# Ports are published on purpose, so listening on all addresses of the container is right.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    BLOG_API__HOST=0.0.0.0 \
    BLOG_CLIENT__HOST=0.0.0.0 \
    BLOG_DATABASE__URL=sqlite:////data/blog.db
EXPOSE 5000 8000 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/bin/blogctl", "health"]
ENTRYPOINT ["/usr/bin/blogctl"]
CMD ["--help"]
ARG VERSION=0.0.0
ARG COMMIT=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE
LABEL org.opencontainers.image.title="blogctl" \
      org.opencontainers.image.description="A blog whose web site and API authenticate with Microsoft Entra ID by certificate" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"

# --- a binary that exists already ------------------------------------------------------------------------------------

FROM base AS prebuilt
ARG TARGETARCH=amd64
COPY --chmod=0755 dist/linux-${TARGETARCH}/blogctl /usr/bin/blogctl

# --- a binary compiled here ------------------------------------------------------------------------------------------

FROM ${BUILD_IMAGE} AS build
ARG CARGO_AUDITABLE=0.7.7
RUN cargo install --locked --root /opt/tools "cargo-auditable@${CARGO_AUDITABLE}"
WORKDIR /src
COPY . .
ARG TARGETARCH=amd64
ARG COMMIT=unknown
# glibc is linked statically: the image needs neither a loader nor libraries. OpenSSL is Debian's, because OpenSSL from
# source turns its threads off when it is linked statically.
RUN case "${TARGETARCH}" in \
        amd64) target=x86_64-unknown-linux-gnu ;; \
        arm64) target=aarch64-unknown-linux-gnu ;; \
        *) echo "no target for the architecture ${TARGETARCH}" >&2; exit 1 ;; \
    esac \
    && export OPENSSL_NO_VENDOR=1 OPENSSL_STATIC=1 \
    && export BLOGCTL_COMMIT="${COMMIT}" RUSTFLAGS="-C target-feature=+crt-static" PATH="/opt/tools/bin:${PATH}" \
    && cargo auditable build --locked --release --target "${target}" \
    && install -D -m 0755 "target/${target}/release/blogctl" /out/blogctl

FROM base AS runtime
COPY --from=build /out/blogctl /usr/bin/blogctl
