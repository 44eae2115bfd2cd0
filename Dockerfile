FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/dungeon-master
# The dependencies change less often than the code: they get a layer of their own.
COPY requirements.lock ./
RUN /opt/dungeon-master/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app ./app
RUN /opt/dungeon-master/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
# The clients of the model and of journey-log trust the system's certificates.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin dungeon-master \
 && install -d -o dungeon-master -g dungeon-master -m 0700 /data
COPY --from=build /opt/dungeon-master /opt/dungeon-master
ENV PATH=/opt/dungeon-master/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8080 \
    STORE_URL=sqlite:////data/dungeon-master.db \
    LOG_JSON_FORMAT=true
# HOST=0.0.0.0 is refused at the start until whoever runs the image sets AUTH_MODE or ALLOW_ANONYMOUS.
WORKDIR /data
VOLUME ["/data"]
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# /live does not look at the Host header, so any other answer than 200 is not the service's.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
  CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8080), timeout=4); c.request('GET', '/live'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["dungeon-master"]
CMD ["serve"]
