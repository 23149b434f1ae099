# A marketplace server; docs/hosting.md. `docker build -t apimarket .`
ARG PYTHON=python:3.11-slim
FROM ${PYTHON}

# A number and not only a name, so that an orchestrator can see that it is not root.
RUN useradd --system --uid 10001 --home-dir /data --no-create-home apimarket && install -d -o apimarket -m 700 /data

WORKDIR /app
# Apart from the code: a changed line of it does not install everything again.
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY local_server ./local_server
COPY apimarket_tui ./apimarket_tui
COPY templates ./templates

ENV APIMARKET_HOME=/data APIMARKET_HOST=0.0.0.0 APIMARKET_PORT=8080 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8080
USER 10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
ENTRYPOINT ["python", "-m", "local_server"]
CMD ["serve"]
