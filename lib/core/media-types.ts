/** Media types of manifests (OCI image specification; Docker image manifest v2, schema 2). */
export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  octetStream: 'application/octet-stream',
} as const

/** Larger manifests are refused; the distribution specification asks registries to accept 4 MiB. */
export const maxManifestSizeBytes = 4 * 2 ** 20

const manifestTypes: ReadonlySet<string> = new Set([
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerList,
])

export function isManifestMediaType(text: string): boolean {
  return manifestTypes.has(text)
}
