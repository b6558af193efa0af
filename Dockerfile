# The gateway's image: built from the locked, hashed requirements; runs as nobody in particular, on a
# read-only root. `docker build --build-arg PYTHON_IMAGE=...` takes another base.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Tools that build stay in an environment of their own, which the image does not take along.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes -r requirements/build.txt \
    && python -m venv /opt/ai-gateway \
    && /opt/ai-gateway/bin/python -m pip install --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY scripts/trim_image.py scripts/
ARG SOURCE_DATE_EPOCH=315532800
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist \
    && /opt/ai-gateway/bin/python -m pip install --no-index --no-deps /dist/*.whl \
    && /opt/ai-gateway/bin/python -m pip check \
    && /opt/ai-gateway/bin/python -m pip uninstall --yes pip \
    && python scripts/trim_image.py /opt/ai-gateway/lib/python3*/site-packages \
    && /opt/ai-gateway/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/ai-gateway/lib
# The bill of materials of what the image runs.
RUN /opt/build/bin/cyclonedx-py environment --output-reproducible \
    --output-format JSON --output-file /dist/ai-gateway.cdx.json /opt/ai-gateway/bin/python

FROM ${PYTHON_IMAGE} AS run
LABEL org.opencontainers.image.title="ai-gateway" \
      org.opencontainers.image.description="One HTTP service between applications and every LLM provider" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 gateway \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/ai-gateway --shell /usr/sbin/nologin gateway \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/ai-gateway
COPY --from=build /opt/ai-gateway /opt/ai-gateway
COPY --from=build /dist/ai-gateway.cdx.json /usr/share/sbom/ai-gateway.cdx.json
ENV PATH=/opt/ai-gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ACCESS=until-keys \
    DATA_DIR=/var/lib/ai-gateway \
    HOST=0.0.0.0 \
    PORT=8080
USER 10001:10001
WORKDIR /var/lib/ai-gateway
VOLUME /var/lib/ai-gateway
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["ai-gateway"]
CMD ["serve"]
