import type { NodeConfig } from '../../core/config.ts'
import type { ImageWriter } from '../../core/image-writer.ts'

/** Where the kubelet's containerd has its images. */
const kubernetesNamespace = 'k8s.io'

/** The writer of a node's store; only the adapter that is used is loaded. @throws StarlingError STORE_UNAVAILABLE */
export async function openWriter(store: NodeConfig['store']): Promise<ImageWriter> {
  if (store.type === 'containerd') {
    const { createContainerdImageWriter } = await import('../../containerd/image-writer.ts')
    const { namespaces } = store
    const own = namespaces.includes(kubernetesNamespace) ? kubernetesNamespace : namespaces[0]
    return createContainerdImageWriter(store.socket, own ?? kubernetesNamespace)
  }
  const { createLayoutImageWriter } = await import('../../oci-layout/image-writer.ts')
  return createLayoutImageWriter(store.path)
}
