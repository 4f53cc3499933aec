# keyturn for schedulers of containers. docs: examples/docker/README.md
# Name the base by its digest in production: --build-arg BASE=docker.io/library/python:3.12-slim-bookworm@sha256:…
ARG BASE=docker.io/library/python:3.12-slim-bookworm

FROM ${BASE} AS build
# the operator and `keyturn run --listen` need `run`; further ones: aws dotenv github onepassword onepassword-sdk pulumi
ARG EXTRAS="run vault"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/ /source/requirements/
RUN python -m venv /opt/keyturn
RUN /opt/keyturn/bin/python -m pip install --require-hashes --only-binary :all: \
  $(printf -- '-r /source/requirements/runtime-%s.txt ' ${EXTRAS})
RUN python -m venv /opt/build
RUN /opt/build/bin/python -m pip install --require-hashes --only-binary :all: -r /source/requirements/build.txt
COPY pyproject.toml README.md LICENSE /source/
COPY reconcile/ /source/reconcile/
COPY provider/ /source/provider/
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /opt/dist /source
RUN /opt/keyturn/bin/python -m pip install --no-deps --no-index /opt/dist/keyturn-*.whl

FROM ${BASE}
COPY --from=build /opt/keyturn /opt/keyturn
ENV PATH=/opt/keyturn/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1
WORKDIR /work
USER 65532:65532
ENTRYPOINT ["/opt/keyturn/bin/keyturn"]
CMD ["--help"]
