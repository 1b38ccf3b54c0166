import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { RunningMembership } from '../../lib/app/membership/options.ts'
import type { MemberState } from '../../lib/core/peer.ts'
import { eventually } from '../support/eventually.ts'
import { type FakeHost, FakeNetwork } from './fake-network.ts'

const others = (service: RunningMembership, state: MemberState) =>
  service.members().filter((member) => !member.self && member.state === state).length

async function cluster(network: FakeNetwork, count: number) {
  const hosts = Array.from({ length: count }, () => network.host())
  const services = await Promise.all(hosts.map((host) => network.service(host, { bootstrap: [hosts[0]!] })))
  await eventually(() => services.every((service) => others(service, 'alive') === count - 1), {
    what: 'joining',
  })
  return { hosts, services }
}

// Most of each is waiting, so they run side by side.
describe('the membership service', { concurrency: 5 }, () => {
  test('nodes that know one address find all others, with their registries and round-trip times', async (t) => {
    const { hosts, services } = await cluster(await FakeNetwork.create(t), 3)
    const last = services[2]!
    await eventually(() => hosts.every(({ peerId }) => last.registriesOf(peerId)?.join() === 'docker.io'))
    await eventually(() => (last.get(hosts[0]!.peerId)?.rttMs ?? -1) >= 0)
    assert.equal(last.self().record.peerId, hosts[2]!.peerId)
    assert.equal(await last.whenJoined(0), true)
  })

  test('fifty nodes join through one address at the same time without a full mesh', async (t) => {
    const { hosts } = await cluster(await FakeNetwork.create(t), 50)
    await eventually(() => hosts.every(({ connected }) => connected.size >= 12), {
      what: 'twelve neighbours',
    })
    const mean = hosts.reduce((sum, { connected }) => sum + connected.size, 0) / hosts.length
    assert.ok(mean < 35, `${mean} connections on average`)
  })

  test('a killed node is soon dead for all and back after a restart, with and without its disk', async (t) => {
    const network = await FakeNetwork.create(t)
    const { hosts, services } = await cluster(network, 5)
    await eventually(() => hosts.every(({ connected }) => connected.size === 4))
    const [first, second] = hosts as [FakeHost, FakeHost]
    const rest = services.filter((_, index) => index !== 1)
    const isSeen = (state: MemberState) =>
      rest.every((service) => service.get(second.peerId)?.state === state)
    for (const snapshot of [join(network.dir, second.peerId), join(network.dir, 'lost')]) {
      second.kill()
      await services[1]!.stop()
      await eventually(() => isSeen('dead'), { what: 'death' })
      second.up = true
      services[1] = await network.service(second, { bootstrap: [first], snapshot })
      await eventually(() => isSeen('alive'), { what: 'return' })
    }
  })

  test('a node that leaves is known to have left at once', async (t) => {
    const { hosts, services } = await cluster(await FakeNetwork.create(t), 4)
    await services[3]!.leave()
    const leaver = hosts[3]!.peerId
    assert.ok(services.slice(0, 3).every((service) => service.get(leaver)?.state === 'left'))
  })

  test('without datagrams the nodes join and notice a death over TCP, and warn once', async (t) => {
    const network = await FakeNetwork.create(t)
    const hosts = Array.from({ length: 4 }, () => network.host())
    for (const host of hosts) host.hasDatagrams = false
    const services = await Promise.all(hosts.map((host) => network.service(host, { bootstrap: [hosts[0]!] })))
    await eventually(() => services.every((service) => others(service, 'alive') === 3))
    await eventually(() => hosts.every(({ connected }) => connected.size === 3))
    hosts[3]!.kill()
    await services[3]!.stop()
    const rest = services.slice(0, 3)
    await eventually(() => rest.every((service) => others(service, 'dead') === 1), { what: 'death' })
    const warnings = hosts[0]!.warnings().filter((text) => text.startsWith('membership runs over TCP alone'))
    assert.equal(warnings.length, 1)
  })

  test('where datagrams vanish on the way, probes are answered over TCP, and it is counted', async (t) => {
    const network = await FakeNetwork.create(t)
    const { hosts, services } = await cluster(network, 4)
    for (const host of hosts) host.areDatagramsLost = true
    const tcpOnly = (host: FakeHost) =>
      host.notes.filter(
        ({ kind, fields }) => kind === 'metric' && 'event' in fields && fields.event === 'probe-tcp-only',
      )
    await eventually(() => hosts.every((host) => tcpOnly(host).length >= 2), { timeoutMs: 20_000 })
    assert.ok(services.every((service) => others(service, 'alive') === 3))
  })

  test('a node whose machine slept for an hour begins its probes anew and accuses nobody', async (t) => {
    const { hosts, services } = await cluster(await FakeNetwork.create(t), 3)
    const sleeper = hosts[1]!
    const counted = (event: string) =>
      sleeper.notes.some(({ fields }) => 'event' in fields && fields.event === event)
    sleeper.clockAheadMs = 3_600_000
    await eventually(() => counted('slept'), { what: 'the leap to be noticed' })
    assert.ok(services.every((service) => others(service, 'alive') === 2))
    assert.deepEqual(sleeper.warnings(), [])
  })

  test('other registries are told to all', async (t) => {
    const { hosts, services } = await cluster(await FakeNetwork.create(t), 3)
    services[1]!.setRegistries(['quay.io', 'ghcr.io'])
    const { peerId } = hosts[1]!
    for (const service of services)
      await eventually(() => service.registriesOf(peerId)?.join() === 'ghcr.io,quay.io')
    services[1]!.setRegistries([])
    for (const service of services) await eventually(() => service.registriesOf(peerId)?.length === 0)
  })

  test('a damaged memory is discarded with one line, and a good one finds the cluster without bootstrap', async (t) => {
    const network = await FakeNetwork.create(t)
    const { hosts, services } = await cluster(network, 3)
    await services[2]!.stop()
    const alone = await network.service(hosts[2]!)
    await eventually(() => others(alone, 'alive') === 2, { what: 'joining from memory' })
    await alone.stop()
    await writeFile(join(network.dir, hosts[2]!.peerId), 'not a snapshot')
    const forgetful = await network.service(hosts[2]!, { bootstrap: [hosts[0]!] })
    await eventually(() => others(forgetful, 'alive') === 2)
    assert.ok(hosts[2]!.warnings().some((text) => text.includes('cannot be read and are discarded')))
  })

  test('a record whose certificate key is not the attested one is refused and counted', async (t) => {
    const network = await FakeNetwork.create(t)
    const { hosts, services } = await cluster(network, 2)
    const liar = network.host()
    const facts = { certificateKeyHash: new Uint8Array(32).fill(1) }
    await network.service(liar, { bootstrap: [hosts[0]!], facts })
    const refused = (host: FakeHost) =>
      host.notes.some(({ text }) => text === 'starling_membership_records_refused_total')
    await eventually(() => refused(hosts[0]!))
    assert.equal(services[0]!.get(liar.peerId), undefined)
  })

  test('two live nodes with one name are reported with both addresses', async (t) => {
    const network = await FakeNetwork.create(t)
    const hosts = [network.host(), network.host(), network.host()]
    const names = ['a', 'twin', 'twin']
    await Promise.all(
      hosts.map((host, index) => network.service(host, { name: names[index]!, bootstrap: [hosts[0]!] })),
    )
    const line = await eventually(() =>
      hosts[0]!.notes.find(({ text }) => text.includes('have the same name')),
    )
    const text = JSON.stringify(line.fields)
    assert.ok(hosts.slice(1).every(({ endpoint }) => text.includes(endpoint.host)))
  })

  test('random bytes on every protocol change nothing', async (t) => {
    const network = await FakeNetwork.create(t)
    const { hosts, services } = await cluster(network, 2)
    const [target, sender] = hosts as [FakeHost, FakeHost]
    for (let size = 0; size < 300; size++) {
      const bytes = Buffer.alloc(size, size)
      target.onDatagram(sender.peerId, bytes, sender.endpoint)
      for (const answer of target.answers.values()) {
        try {
          for await (const frame of answer(sender.peerId, bytes)) assert.ok(frame.length < 1 << 20)
        } catch (error) {
          assert.match(String((error as { code?: string }).code), /WIRE_MALFORMED|FRAME_TOO_LARGE/)
        }
      }
    }
    assert.equal(services[0]!.members().length, 2)
  })
})
