import { stringify } from 'yaml'
import type { CredentialSet } from '../../core/credentials.ts'

/**
 * A kubeconfig (Kubernetes, "Organizing Cluster Access Using kubeconfig Files") with which `kubectl get --raw` asks a
 * server for its metrics. It holds the client key of this node.
 * @param server URL of the server: `https://host:9345`
 */
export function renderKubeconfig(server: string, { serverCaPem, client, nodeName }: CredentialSet): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        { name: 'starling', cluster: { server, 'certificate-authority-data': base64(serverCaPem) } },
      ],
      users: [
        {
          name: nodeName,
          user: {
            'client-certificate-data': base64(client.certPem),
            'client-key-data': base64(client.keyPem),
          },
        },
      ],
      contexts: [{ name: 'starling', context: { cluster: 'starling', user: nodeName } }],
      'current-context': 'starling',
      preferences: {},
    },
    { lineWidth: 0 },
  )
}
