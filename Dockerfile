# The image for docker and kubernetes work pools (see prefect.yaml) and for single runs (docs/deployment.md):
#   docker build --tag bioqa .
#   docker run --rm --volume "$PWD/answers:/answers" bioqa     the sample; any other command may follow the name
# torch is what the index has: PyPI's is for CUDA. A smaller image for CPUs:
#   docker build --tag bioqa --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .
# BASE is any system with Python 3.11 or later, its venv and its pip (docs/docker.md: without a registry). The whole name,
# since podman and buildah ask for it.
ARG BASE=docker.io/library/python:3.11-slim
FROM ${BASE}

# Debian's own Python takes packages in environments alone.
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/bioqa
COPY pyproject.toml constraints.txt LICENSE README.md ./
COPY requirements requirements
ARG TORCH_INDEX=
# Whoever asks for another build of torch takes its packages without the hashes of PyPI's.
RUN pip install --no-cache-dir --require-hashes --no-deps --requirement requirements/core.lock \
    && pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY bioqa_pipeline bioqa_pipeline
COPY flows flows
COPY data data
RUN pip install --no-cache-dir --constraint constraints.txt --no-build-isolation --editable '.[s3]' \
    && useradd --uid 10001 --create-home bioqa \
    && install --directory --owner bioqa /answers /var/cache/bioqa

USER bioqa
ENV BIOQA_CACHE=/var/cache/bioqa DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    HF_HUB_DISABLE_TELEMETRY=1 RAY_USAGE_STATS_ENABLED=0
VOLUME /answers
CMD ["python", "-m", "flows.run", "--questions", "data/sample/questions.txt", "--source", "sample", \
     "--max-abstracts", "5", "--out", "/answers"]
