import { randomBytes } from 'node:crypto'
import { DatagramOpener, DatagramSealer } from '../../lib/trust/datagram-seal.ts'
import { makeIdentityPem, readIdentity } from '../../lib/trust/identity.ts'
import { makePsk } from '../../lib/trust/keyring.ts'
import type { Benchmark } from './benchmark.ts'

const bodySizeBytes = 300
const rounds = 5

/** What a datagram costs its sender, its receiver, and a node that is flooded. */
export const seal: Benchmark = {
  name: 'seal',
  title: `Datagrams of ${bodySizeBytes} bytes: seal and open`,
  async run(log, { quick }) {
    const datagramsPerRound = quick ? 100 : 2000
    const identity = readIdentity(makeIdentityPem())
    const stranger = readIdentity(makeIdentityPem())
    const keyring = [makePsk(randomBytes(32))] as const
    const sealerOf = ({ publicKey, privateKey }: typeof identity) =>
      new DatagramSealer({ publicKey, privateKey, keyring: () => keyring, bootSalt: randomBytes(16) })
    const opener = new DatagramOpener({
      keyring: () => keyring,
      isAttested: (peerId) => peerId === identity.peerId,
    })
    const body = randomBytes(bodySizeBytes)
    const sealer = sealerOf(identity)
    const expect = (datagram: Uint8Array, ok: boolean): void => {
      if (opener.open(datagram).ok !== ok) throw new Error('a datagram was judged wrongly')
    }
    const fromStranger = sealerOf(stranger).seal(body)
    const seen = sealer.seal(body)
    expect(seen, true)
    const forged = Buffer.from(sealer.seal(body))
    forged.set(randomBytes(16), forged.length - 16)
    forged.writeUInt32BE(2 ** 31, 57)
    const forgedBoot = Buffer.from(forged)
    forgedBoot.set(randomBytes(16), 37)

    const cases: [string, () => void][] = [
      ['seal and sign', () => void sealer.seal(body)],
      ['seal and sign, open and verify', () => expect(sealer.seal(body), true)],
      ['drop: sender is not attested', () => expect(fromStranger, false)],
      ['drop: replayed', () => expect(seen, false)],
      ['drop: not sealed with the PSK, known boot', () => expect(forged, false)],
      ['drop: not sealed with the PSK, new boot', () => expect(forgedBoot, false)],
    ]
    const rows = cases.map(([name, action]) => {
      const microseconds = medianMicroseconds(action, datagramsPerRound)
      log(`${name}: ${microseconds.toFixed(1)} µs`)
      return [name, Number(microseconds.toFixed(1))]
    })
    return {
      columns: ['what', 'µs each'],
      rows,
      notes: [
        `Median of ${rounds} rounds of ${datagramsPerRound} datagrams after one round to warm up, one thread, wall time.`,
        'AES-256-GCM with a cached key for each sender and boot, Ed25519 signature inside; all synchronous.',
      ],
    }
  },
}

function medianMicroseconds(action: () => void, datagramsPerRound: number): number {
  const figures: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const start = performance.now()
    for (let count = 0; count < datagramsPerRound; count += 1) action()
    if (round > 0) figures.push(((performance.now() - start) * 1000) / datagramsPerRound)
  }
  return figures.sort((a, b) => a - b)[Math.floor(rounds / 2)] as number
}
