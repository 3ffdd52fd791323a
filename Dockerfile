# attnd as a container: built in the first stage, and in the second only what runs it. The model is not in the image:
#
#   docker build -t attnd .
#   docker run --read-only -p 127.0.0.1:50051:50051 -p 127.0.0.1:9090:9090 \
#     -v "$(scripts/get-model.sh):/model:ro" attnd
#
# With buildah or podman: --format docker, or the health check is lost. BASE is any Debian 13.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
WORKDIR /src
# The packages first: they change less often than the code, and so stay in the build cache.
COPY scripts/lib.sh scripts/install-deps.sh scripts/
RUN scripts/install-deps.sh build
COPY . .
RUN cmake --preset release -DATTND_TESTS=OFF -DATTND_BENCH=OFF \
    && ninja -C build/release attnd attnctl \
    && install --strip -D -t /out build/release/server/attnd build/release/client/attnctl

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
       libdnnl3.6 libgrpc++1.51t64 libprometheus-cpp-pull1.0 libspdlog1.15 libssl3t64 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /usr/local/bin/
USER 65532:65532
EXPOSE 50051 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["attnctl", "health", "--target", "127.0.0.1:50051"]
ENTRYPOINT ["attnd"]
# Plaintext on every address of the container, said openly: what may reach them is decided by the ports that are
# published, and TLS ends at the proxy in front (README.md, SECURITY.md).
CMD ["--model", "/model", "--listen", "0.0.0.0:50051", "--metrics-listen", "0.0.0.0:9090", "--insecure"]
