# The base must have Python 3.11. One that has vLLM too is given as
# --build-arg BASE_IMAGE=..., and POINTWORK_VLLM_COMMAND says where it lies there.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/pointwork --create-home pointwork
ENV HOME=/var/lib/pointwork PATH=/opt/pointwork/.venv/bin:${PATH}
WORKDIR /opt/pointwork

COPY requirements.lock ./
RUN python3 -m venv .venv \
    && pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock

COPY pyproject.toml README.md ./
COPY src src
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
COPY workflows workflows
COPY activities activities
COPY workers workers
COPY policies policies

USER 10001:10001
VOLUME /var/lib/pointwork
CMD ["python", "-m", "workers", "gpu", "--state-dir", "/var/lib/pointwork"]
