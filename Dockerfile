# syntax=docker/dockerfile:1
#
#   docker build --target cpu -t speechsum:cpu .     plain x86-64
#   docker build --target gpu -t speechsum:gpu .     NVIDIA; the host needs only the driver and its container toolkit
#
# Dependencies come from the serving locks (`make lock`), with hashes and without resolving (--no-deps: a lock is complete).
# The image has no models: the service assembles its checkpoint at the first start and keeps it in the volume /cache.
# Nothing else is written but to /tmp, so the root file system may be read-only. docs/deploy.md has the rest.

FROM python:3.11-slim-bookworm AS base
# vLLM's CPU kernels link against libnuma1. PyTorch and Triton compile small kernels at run time, with g++ and its headers.
# Debian drops old versions from its mirrors, so that a pinned one could not be installed for long.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libnuma1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /cache --create-home --shell /usr/sbin/nologin speechsum
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1

FROM base AS build
RUN pip install --no-cache-dir uv==0.13.9
ENV UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN uv venv --python /usr/local/bin/python /opt/venv

FROM build AS cpu-environment
# Where the build for a CPU of PyTorch is: its own index, or other options of uv (`--find-links FOLDER`) without a network.
ARG TORCH_SOURCE="--torch-backend cpu"
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/var/cache/uv \
    --mount=type=bind,source=requirements/serve-cpu.txt,target=/tmp/lock.txt \
    VIRTUAL_ENV=/opt/venv uv pip install --no-deps --require-hashes $TORCH_SOURCE -r /tmp/lock.txt

FROM build AS gpu-environment
RUN --mount=type=cache,target=/var/cache/uv \
    --mount=type=bind,source=requirements/serve-gpu.txt,target=/tmp/lock.txt \
    VIRTUAL_ENV=/opt/venv uv pip install --no-deps --require-hashes -r /tmp/lock.txt

FROM base AS service
WORKDIR /srv/speechsum
# All data is written to the volume: parts and checkpoints, the caches of vLLM and the compilers, the queue. Recordings
# that are worked on are written to /tmp, which is a volume as well, so that they take room on the disk and no memory.
ENV PYTHONPATH=/srv/speechsum \
    HOME=/cache \
    XDG_CACHE_HOME=/cache \
    XDG_STATE_HOME=/cache/state \
    SPEECHSUM_CACHE_DIR=/cache/speechsum \
    SPEECHSUM_HOST=0.0.0.0 \
    SPEECHSUM_PORT=8000
COPY deploy/healthcheck.py /usr/local/lib/speechsum/healthcheck.py
COPY deploy/speechsum /usr/local/bin/speechsum
COPY app app
COPY model_repo model_repo
COPY clients/python/speechsum_client speechsum_client
# The code belongs to root, and the service cannot write compiled modules beside it.
RUN python -m compileall -q app model_repo speechsum_client
# The number, because Kubernetes cannot tell that a name is not root's.
USER 10001:10001
VOLUME ["/cache", "/tmp"]
EXPOSE 8000
# The first start fetches and assembles the checkpoint. Failures within the start period do not count.
HEALTHCHECK --interval=15s --timeout=6s --retries=3 --start-period=20m --start-interval=5s \
    CMD ["python", "/usr/local/lib/speechsum/healthcheck.py"]
# The service runs without a shell, so that SIGTERM reaches it and open requests can finish.
STOPSIGNAL SIGTERM
ENTRYPOINT ["speechsum"]
CMD ["serve"]

FROM service AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=gpu-environment /opt/venv /opt/venv

FROM service AS cpu
COPY --from=cpu-environment /opt/venv /opt/venv
