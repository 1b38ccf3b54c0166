# Starling as a container image. Both base images need Node.js 24 or later as `node`; the build image also npm and a shell.
ARG BUILD_IMAGE=docker.io/library/node:26-bookworm-slim
ARG RUNTIME_IMAGE=docker.io/library/node:26-bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build
# What the node writes to: its data and its ops socket. Made here, because the runtime image may have no shell.
RUN mkdir -p /empty

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="starling" \
      org.opencontainers.image.description="A registry mirror on every containerd node: images are found by gossip and served by neighbours" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072
COPY --from=build /src/dist /opt/starling
COPY --from=build --chown=65532:65532 /empty /var/lib/starling
COPY --from=build --chown=65532:65532 /empty /run/starling
# The containerd socket usually belongs to root: give its group with `--group-add`, or run with `--user 0` (README).
USER 65532:65532
EXPOSE 5001/tcp 5001/udp 6443/tcp
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["node", "-e", "require('node:http').get({socketPath:'/run/starling/ops.sock',path:'/healthz'},r=>process.exit(r.statusCode===200?0:1)).on('error',()=>process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=2", "--heap-growing-percent=25", "/opt/starling/bin/starling.js"]
CMD ["agent", "--config", "/etc/starling/config.yaml"]
