/** Starts two hosts and a datagram transport, lets them talk and stops them; the process must end without being told. */
import { rpcProtocols } from '../../lib/core/messaging.ts'
import { createUdpTransport } from '../../lib/network/udp-transport.ts'
import { makeTestCluster } from '../support/test-trust.ts'
import { constantCredentials, Recorder, startHost, systemClock } from './test-host.ts'

const set = [...(await makeTestCluster({ nodes: [{ name: 'a' }, { name: 'b' }] })).values()]
const noTest = { after: () => {} }
const hosts = await Promise.all(set.map((credentials) => startHost(noTest, credentials)))
const [a, b] = hosts
if (a === undefined || b === undefined) throw new Error('two hosts are needed')
const recorder = new Recorder()
const transport = createUdpTransport({
  credentials: constantCredentials(a.credentials),
  attestations: a.attestations,
  listen: [{ host: '127.0.10.1', port: 0 }],
  clock: systemClock,
  logger: recorder,
  metrics: recorder,
})
await transport.start()
for (const { host } of hosts) host.join('registry.example.com')
b.host.handle(rpcProtocols.probe, () => [Uint8Array.of(1)])
await a.host.connect(b.endpoint, 5_000)
await a.host.request(b.peerId, rpcProtocols.probe, new Uint8Array(), {
  timeoutMs: 5_000,
  maxAnswerSizeBytes: 10,
})
await a.host.publish('registry.example.com', Uint8Array.of(1))
await Promise.all([transport.stop(), ...hosts.map(({ host }) => host.stop())])
process.stdout.write('stopped\n')
