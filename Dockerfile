# An image for docker and kubernetes work pools (see prefect.yaml):  docker build --tag bioqa .
FROM python:3.11-slim

WORKDIR /opt/bioqa
COPY pyproject.toml constraints.txt LICENSE README.md ./
COPY bioqa_pipeline bioqa_pipeline
COPY flows flows
COPY data data
RUN pip install --no-cache-dir --constraint constraints.txt --editable '.[s3]' \
    && useradd --uid 10001 --create-home bioqa \
    && install --directory --owner bioqa /answers /var/cache/bioqa

USER bioqa
ENV BIOQA_CACHE=/var/cache/bioqa DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false \
    HF_HUB_DISABLE_TELEMETRY=1 RAY_USAGE_STATS_ENABLED=0
