import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Verdict } from '../../../lib/app/check/line.ts'
import { metricValue } from '../../../lib/app/check/node-facts.ts'
import {
  bootstrapVerdict,
  certificatesVerdict,
  challengeVerdict,
  clockVerdict,
  contentVerdict,
  type PeerFacts,
  type PortFacts,
  peersVerdict,
  portVerdict,
  serversVerdict,
  type UdpFacts,
  udpVerdict,
} from '../../../lib/app/check/verdicts.ts'

const dayMs = 86_400_000

function port(changes: Partial<PortFacts>): Verdict {
  const endpoint = { host: '0.0.0.0', port: 6443 }
  return portVerdict({
    endpoint,
    transport: 'TCP',
    own: false,
    bindError: undefined,
    nodeRuns: false,
    ...changes,
  })
}

function peer(name: string, changes: Partial<PeerFacts> = {}): PeerFacts {
  return { name, state: 'alive', p2pProblem: undefined, registryProblem: undefined, skewMs: 0, ...changes }
}

function udp(changes: Partial<UdpFacts>): Verdict {
  return udpVerdict({ wanted: true, available: true, othersAlive: 2, received: 100, tcpOnly: 0, ...changes })
}

const rows: readonly (readonly [
  title: string,
  found: Verdict,
  verdict: Verdict['verdict'],
  detail: RegExp,
])[] = [
  [
    'certificates that last',
    certificatesVerdict([{ name: 'serving', notAfterMs: 20 * dayMs }], 0),
    'ok',
    /two weeks/,
  ],
  [
    'a certificate that ends soon',
    certificatesVerdict([{ name: 'serving', notAfterMs: 13.5 * dayMs }], 0),
    'warning',
    /serving in 13 days; make new ones/,
  ],
  ['servers that answer', serversVerdict([{ address: 'a', problem: undefined }]), 'ok', /all servers/],
  [
    'one of two servers',
    serversVerdict([
      { address: 'a', problem: undefined },
      { address: 'b', problem: 'b does not answer' },
    ]),
    'warning',
    /some servers do not answer: b does not answer/,
  ],
  [
    'no server',
    serversVerdict([{ address: 'a', problem: 'a refuses connections' }]),
    'wrong',
    /no server answers: a refuses connections; .*open TCP 9345/,
  ],
  ['an own port', port({ own: true }), 'ok', /TCP 0\.0\.0\.0:6443: this node listens/],
  ['a free port', port({}), 'ok', /is free$/],
  ['a free port of a running node', port({ nodeRuns: true }), 'warning', /does not listen there/],
  [
    'a port of the API server',
    port({ bindError: 'EADDRINUSE' }),
    'wrong',
    /taken by another program \(a Kubernetes API server .*\); stop that, or choose/,
  ],
  [
    'a port of RKE2',
    port({ bindError: 'EADDRINUSE', endpoint: { host: '::', port: 9345 } }),
    'wrong',
    /TCP \[::\]:9345 is taken .*RKE2/,
  ],
  [
    'a port of the embedded registry of K3s',
    port({ bindError: 'EADDRINUSE', endpoint: { host: '::', port: 5001 }, transport: 'UDP' }),
    'wrong',
    /UDP .*5001 is taken .*K3s/,
  ],
  [
    'a port of somebody',
    port({ bindError: 'EADDRINUSE', endpoint: { host: '::', port: 7000 } }),
    'wrong',
    /taken by another program; stop/,
  ],
  [
    'an address of another machine',
    port({ bindError: 'EADDRNOTAVAIL' }),
    'wrong',
    /does not have the address/,
  ],
  ['a port of root', port({ bindError: 'EACCES' }), 'wrong', /run as root/],
  ['a port that fails otherwise', port({ bindError: 'EMFILE' }), 'wrong', /EMFILE/],
  ['no peers, and where to look for them', peersVerdict([], true), 'wrong', /look at bootstrap/],
  ['no peers, and nowhere to look', peersVerdict([], false), 'warning', /bootstrap is empty/],
  ['peers that answer', peersVerdict([peer('a'), peer('b')], true), 'ok', /2 nodes answer on both/],
  [
    'a peer whose port is shut',
    peersVerdict([peer('a'), peer('b', { registryProblem: '10.0.0.2:6443 does not answer' })], true),
    'wrong',
    /^registry of b: 10\.0\.0\.2:6443 does not answer; open/,
  ],
  ['no bootstrap', bootstrapVerdict([]), 'warning', /is empty/],
  ['bootstrap that answers', bootstrapVerdict([{ address: 'a:1', problem: undefined }]), 'ok', /all/],
  [
    'bootstrap of which one answers',
    bootstrapVerdict([
      { address: 'a:1', problem: undefined },
      { address: 'b:1', problem: 'b:1 refuses' },
    ]),
    'warning',
    /some .*: b:1 refuses/,
  ],
  [
    'bootstrap that is silent',
    bootstrapVerdict([{ address: 'a:1', problem: 'x' }]),
    'wrong',
    /no bootstrap node/,
  ],
  ['UDP', udp({}), 'ok', /datagrams of other nodes come/],
  ['UDP that is off', udp({ wanted: false, received: 0 }), 'ok', /switched off/],
  ['UDP that cannot be had', udp({ available: false }), 'warning', /could not open/],
  ['UDP with nobody', udp({ othersAlive: 0, received: 0 }), 'ok', /nobody/],
  ['UDP that is blocked', udp({ received: 0 }), 'wrong', /open UDP 5001/],
  ['UDP that is blocked for some', udp({ tcpOnly: 6 }), 'warning', /6 probes/],
  ['UDP that lost a probe', udp({ tcpOnly: 5 }), 'ok', /come/],
  ['a clock that agrees', clockVerdict([peer('a', { skewMs: 29_000 })]), 'ok', /within 30 s of 1 other node/],
  [
    'a clock without company',
    clockVerdict([peer('a', { skewMs: undefined })]),
    'ok',
    /no other node could be asked/,
  ],
  [
    'a clock that is behind all others',
    clockVerdict([peer('a', { skewMs: 400_000 }), peer('b', { skewMs: 401_000 })]),
    'wrong',
    /clock of this machine is off: a is 400 s ahead, b is 401 s ahead; let NTP/,
  ],
  [
    'a clock of one other node',
    clockVerdict([peer('a', { skewMs: -60_000 }), peer('b'), peer('c')]),
    'warning',
    /clock of another node is off: a is 60 s behind/,
  ],
  ['content', contentVerdict('containerd', '/c', undefined), 'ok', /\/c can be read/],
  [
    'content of containerd that is shut',
    contentVerdict('containerd', '/c', 'denied'),
    'warning',
    /denied; .*slower/,
  ],
  ['a layout that is not there', contentVerdict('oci-layout', '/c', 'gone'), 'wrong', /^gone$/],
  ['a registry with basic auth', challengeVerdict('r.test', 'Basic realm="r"'), 'ok', /in a header/],
  ['a registry that is silent', challengeVerdict('r.test', undefined), 'ok', /could not be asked/],
  [
    'a registry with a token server',
    challengeVerdict('r.test', 'Bearer realm="https://t.test"'),
    'warning',
    /registry\.configs\."r\.test"\.auth\]/,
  ],
]

describe('the verdict on', () => {
  for (const [title, found, verdict, detail] of rows) {
    it(`${title} is ${verdict}`, () => {
      assert.equal(found.verdict, verdict)
      assert.match(found.detail, detail)
      assert.doesNotMatch(found.detail, /\n/)
    })
  }
})

describe('a metric in the text format', () => {
  it('is found with its labels, and is 0 where it is not there', () => {
    const text = '# TYPE a counter\na{event="x"} 3\nab 4\na 5\n'
    assert.deepEqual(
      [metricValue(text, 'a'), metricValue(text, 'a{event="x"}'), metricValue(text, 'b')],
      [5, 3, 0],
    )
  })
})
