import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type FoundFolder, type HostsPlan, planHosts } from '../../lib/config/hosts-plan.ts'
import { hostsFolder, ownerOf, renderHostsToml } from '../../lib/config/hosts-toml.ts'
import type { RegistryHosts } from '../../lib/config/registry-hosts.ts'

function entryOf(registry: string, mirrorUrl = 'https://127.0.0.1:6443'): RegistryHosts {
  const mirror = { url: mirrorUrl, pullOnly: true, ca: '/ca', client: ['/crt', '/key'] as const }
  return { registry, hosts: [mirror], server: { url: 'https://up', pullOnly: false }, secret: false }
}

const ours = (registry: string): FoundFolder => ({
  folder: hostsFolder(registry),
  hosts: { text: renderHostsToml(entryOf(registry, 'https://127.0.0.1:1'), 'nothing') },
})

/** What would be there after the plan. */
function apply(current: readonly FoundFolder[], plan: HostsPlan): FoundFolder[] {
  const state = new Map(current.map((found) => [found.folder, found]))
  for (const operation of plan.operations) {
    if (operation.type === 'remove') state.delete(operation.folder)
    else state.set(operation.folder, { folder: operation.folder, hosts: { text: operation.text } })
  }
  return [...state.values()]
}

const registries = ['docker.io', 'quay.io', 'r.example.com:5000', '*', 'ghcr.io']
const registry = fc.constantFrom(...registries)
const desired = fc.uniqueArray(registry).map((names) => names.map((name) => entryOf(name)))
const found: fc.Arbitrary<FoundFolder> = fc.oneof(
  registry.map(ours),
  registry.map((name) => ({ folder: hostsFolder(name), hosts: { text: 'server = "https://mine"\n' } })),
  registry.map((name) => ({
    folder: hostsFolder(name),
    hosts: { text: `${renderHostsToml(entryOf(name), 'folder')}# mine\n` },
  })),
  registry.map((name) => ({ folder: hostsFolder(name), hosts: 'absent' as const })),
  registry.map((name) => ({ folder: hostsFolder(name), hosts: 'unusable' as const })),
  fc.constant<FoundFolder>({ folder: 'r.example.com_5000_', hosts: 'absent' }),
)
const current = fc.uniqueArray(found, { selector: (entry) => entry.folder })

describe('the plan for hosts.toml files', () => {
  it('is idempotent: applied once, nothing is left to do', () => {
    fc.assert(
      fc.property(desired, current, (wanted, before) => {
        const plan = planHosts(wanted, before)
        const again = planHosts(wanted, apply(before, plan))
        assert.deepEqual(again.operations, [])
        assert.deepEqual(again.refused, plan.refused)
      }),
    )
  })

  it('never writes over or removes what is not ours or was changed without keeping it', () => {
    fc.assert(
      fc.property(desired, current, (wanted, before) => {
        for (const operation of planHosts(wanted, before).operations) {
          const state = before.find((entry) => entry.folder === operation.folder)?.hosts ?? 'absent'
          if (state === 'absent') continue
          assert(typeof state === 'object')
          const owner = ownerOf(state.text)
          assert.notEqual(owner, 'modified')
          assert.equal(operation.keep, owner === 'foreign')
        }
      }),
    )
  })

  it('accounts for every mirrored registry: written, unchanged or refused', () => {
    fc.assert(
      fc.property(desired, current, (wanted, before) => {
        const { operations, unchanged, refused } = planHosts(wanted, before)
        for (const { registry: name } of wanted) {
          const folder = hostsFolder(name)
          const times =
            operations.filter((operation) => operation.folder === folder && operation.type === 'write')
              .length +
            unchanged.filter((other) => other === folder).length +
            refused.filter((refusal) => refusal.folder === folder).length
          assert.equal(times, 1, folder)
        }
      }),
    )
  })

  it('removes leftovers of ours and leaves those that were changed, with a word', () => {
    const changed = {
      folder: 'ghcr.io',
      hosts: { text: `${renderHostsToml(entryOf('ghcr.io'), 'nothing')}# mine\n` },
    }
    const plan = planHosts([], [ours('quay.io'), changed, { folder: 'x', hosts: { text: 'theirs' } }])
    assert.deepEqual(plan.operations, [{ type: 'remove', folder: 'quay.io', leave: 'nothing', keep: false }])
    assert.deepEqual(
      plan.refused.map((refusal) => refusal.folder),
      ['ghcr.io'],
    )
  })

  it('says so when containerd would read another folder instead', () => {
    const plan = planHosts(
      [entryOf('r.example.com:5000')],
      [{ folder: 'r.example.com_5000_', hosts: 'absent' }],
    )
    assert.match(plan.refused[0]?.reason ?? '', /reads this folder instead of r\.example\.com:5000/)
  })
})
