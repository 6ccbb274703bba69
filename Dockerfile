# The image of Stepwell: the API, the worker and every other `stepwell` command are this one image with another command.
# Its Python packages are those of requirements-runtime.lock, checked by their hashes.

FROM python:3.12.13-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The dependencies first: they change less often than the code.
COPY requirements.lock requirements-runtime.lock ./
RUN python -m venv --without-pip /opt/stepwell
RUN pip --python /opt/stepwell/bin/python install --require-hashes --only-binary :all: -r requirements-runtime.lock

# What builds the project itself stays in this stage.
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock > requirements-build.lock
RUN pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist .
RUN pip --python /opt/stepwell/bin/python install --no-deps --no-index dist/*.whl


FROM python:3.12.13-slim-bookworm

RUN groupadd --system --gid 10001 stepwell \
    && useradd --system --uid 10001 --gid stepwell --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin stepwell
COPY --from=build /opt/stepwell /opt/stepwell
ENV PATH=/opt/stepwell/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /var/empty
USER 10001:10001

# `stepwell api` and `stepwell worker` end in order on SIGTERM: what is under way gets ten seconds.
STOPSIGNAL SIGTERM

# Of the API. Give a worker `python -m workers.health` instead, and a command that ends by itself none.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; api = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('STEPWELL_API_PORT', 8000)), timeout=4); api.request('GET', '/healthz'); sys.exit(api.getresponse().status != 200)"]

EXPOSE 8000
ENTRYPOINT ["stepwell"]
CMD ["--help"]
