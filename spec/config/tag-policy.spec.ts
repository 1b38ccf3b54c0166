import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseConfig } from '../../lib/config/config-file.ts'
import { parseRegistries } from '../../lib/config/registries-file.ts'
import { excludedReferences, tagRules } from '../../lib/config/tag-policy.ts'
import { OfferFilter } from '../../lib/core/reference.ts'

const configOf = (text: string) => parseConfig(text, 'c.yaml', { hostname: 'h' })
const disputedAt = (config: string, registries: string, registry = 'a.io') =>
  tagRules(configOf(config), parseRegistries(registries, 'r'))(registry).disputed
const off = 'disable-default-registry-endpoint: true'

describe('a tag on which nodes disagree', () => {
  const rows: readonly (readonly [config: string, registries: string, disputed: 'refuse' | 'majority'])[] = [
    ['{}', 'mirrors: {a.io: }', 'refuse'],
    [off, 'mirrors: {a.io: }', 'majority'],
    [off, 'mirrors: {"*": }', 'majority'],
    [off, 'mirrors: {a.io: {endpoint: [e]}}', 'refuse'],
    [off, 'mirrors: {"*": {endpoint: [e]}}', 'refuse'],
    [off, 'mirrors: {"*": {endpoint: [e]}, a.io: }', 'majority'],
    [off, 'mirrors: {a.io: }\nconfigs: {a.io: {tls: {ca_file: /x}}}', 'refuse'],
    [off, 'mirrors: {b.io: }', 'refuse'],
    [off, 'mirrors: {a.io: {endpoint: ["https://127.0.0.1:6443"]}}', 'majority'],
    [`${off}\ndisputedTags: refuse`, 'mirrors: {a.io: }', 'refuse'],
    ['disputedTags: majority', 'mirrors: {a.io: {endpoint: [e]}}', 'majority'],
  ]
  for (const [config, registries, disputed] of rows) {
    it(`${config.replace('\n', ', ')}; ${registries.replace('\n', '; ')}: ${disputed}`, () =>
      assert.equal(disputedAt(config, registries), disputed))
  }
})

describe('which tags peers are asked for', () => {
  const resolveAt = (config: string, registry: string) =>
    tagRules(configOf(config), parseRegistries('mirrors: {"*": }', 'r'))(registry).resolve
  for (const [config, registry, resolve] of [
    ['{}', 'a.io', true],
    ['resolveTags: false', 'a.io', false],
    ['resolveTags: {a.io: false}', 'a.io', false],
    ['resolveTags: {a.io: false}', 'b.io', true],
    ['resolveTags: {"*": false, a.io: true}', 'a.io', true],
    ['resolveTags: {"*": false, a.io: true}', 'b.io', false],
    ['resolveTags: {index.docker.io: false}', 'docker.io', false],
    ['resolveTags: {a.io: false}', 'constructor', true],
  ] as const) {
    it(`${config}: those of ${registry} ${resolve ? 'yes' : 'no'}`, () =>
      assert.equal(resolveAt(config, registry), resolve))
  }

  const offers = (config: string, reference: readonly [registry: string, repository: string, tag: string]) =>
    new OfferFilter(excludedReferences(configOf(config)).map((text) => new RegExp(text))).offers(...reference)
  for (const [config, tag, offered] of [
    ['{}', 'latest', false],
    ['{}', 'latest-1', true],
    ['shareLatest: true', 'latest', true],
    ['excludeReferences: [":nightly$"]', 'latest', false],
    ['excludeReferences: [":nightly$"]', 'nightly', false],
    ['excludeReferences: ["^a\\\\.io/team/"]\nshareLatest: true', 'latest', false],
  ] as const) {
    it(`${config.replace('\n', ', ')}: a.io/team/app:${tag} ${offered ? 'yes' : 'no'}`, () =>
      assert.equal(offers(config, ['a.io', 'team/app', tag]), offered))
  }
})
