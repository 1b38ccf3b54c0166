import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { configJsonSchema, parseConfig } from '../../lib/config/config-file.ts'
import { renderConfig, renderConfigYaml } from '../../lib/config/render-config.ts'
import type { NodeConfig } from '../../lib/core/config.ts'

const name = fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,10}[A-Za-z0-9])?$/)
const path = fc
  .array(fc.stringMatching(/^[A-Za-z0-9 _:#'"@%é&*!|>{}-]{1,12}$/), { minLength: 1, maxLength: 4 })
  .filter((parts) => parts.every((part) => part.trim() !== ''))
  .map((parts) => `/${parts.join('/')}`)
const host = fc.oneof(fc.ipV4(), fc.constantFrom('::', '::1', 'fe80::1', '2001:db8::7'))
const endpoint = (minPort: number) => fc.record({ host, port: fc.integer({ min: minPort, max: 65_535 }) })
const reachable = endpoint(1).filter(({ host: ip }) => ip !== '0.0.0.0' && ip !== '::')
const duration = (min: number, max: number) => fc.integer({ min, max })
const unique = <T>(item: fc.Arbitrary<T>, minLength = 0) =>
  fc.uniqueArray(item, { minLength, maxLength: 4, selector: (value) => JSON.stringify(value) })

const rate = fc.oneof(fc.integer({ min: 262_144, max: 2 ** 40 }), fc.constant(Number.POSITIVE_INFINITY))
const flow = fc.record({
  bytesPerSecond: rate,
  bytesPerSecondPerPeer: rate,
  atOnce: fc.integer({ min: 1, max: 4096 }),
  atOncePerPeer: fc.integer({ min: 1, max: 4096 }),
})

const configs: fc.Arbitrary<NodeConfig> = fc
  .record({
    node: fc.record({ name, zone: fc.oneof(fc.constant(''), name) }),
    dataDir: path,
    registries: path,
    registry: fc.record({
      listen: unique(endpoint(0), 1),
      workers: fc.integer({ min: 1, max: 64 }),
      stallTimeoutMs: duration(100, 300_000),
      maxConnections: fc.integer({ min: 1, max: 65_535 }),
    }),
    transfer: fc.record({
      mode: fc.constantFrom('proxy' as const, 'redirect', 'auto'),
      verify: fc.constantFrom('full' as const, 'off'),
      stripeThresholdBytes: fc.integer({ min: 0, max: 2 ** 45 }),
      quarantineMs: fc.integer({ min: 1000, max: 86_400_000 }),
      stripeWidth: fc.integer({ min: 1, max: 16 }),
      upload: flow,
      download: flow,
    }),
    p2p: fc.record({ listen: unique(endpoint(0), 1), advertise: unique(reachable), udp: fc.boolean() }),
    bootstrap: unique(reachable),
    store: fc.oneof(
      fc.record({ type: fc.constant('oci-layout' as const), path }),
      fc.record({
        type: fc.constant('containerd' as const),
        socket: path,
        namespaces: unique(name, 1),
        contentPath: fc.oneof(path, fc.constant(undefined)),
      }),
    ),
    auditIntervalMs: duration(1000, 86_400_000),
    trust: fc.record({
      serverCa: path,
      clientCa: path,
      servingCert: path,
      servingKey: path,
      clientCert: path,
      clientKey: path,
      psk: path,
      identity: path,
      revocations: path,
    }),
    ops: fc.record({ socket: path, listen: fc.oneof(endpoint(0), fc.constant(undefined)) }),
    log: fc.record({ level: fc.constantFrom('debug' as const, 'info', 'warn', 'error') }),
    metrics: fc.record({ spegelNames: fc.boolean() }),
    images: fc.record({ dir: path, platform: fc.constantFrom('all', 'linux/amd64', 'linux/arm/v7') }),
    shutdownGraceMs: duration(0, 3_600_000),
    certsDir: path,
    excludeReferences: unique(fc.constantFrom(':latest$', '^docker\\.io/', ':.*-dev$', "'", '#x: y')),
    shareLatest: fc.boolean(),
    disableDefaultRegistryEndpoint: fc.boolean(),
    manageHosts: fc.boolean(),
    removeHostsAtStop: fc.boolean(),
    resolveTags: fc.dictionary(fc.constantFrom('docker.io', 'r.example.com:5000', '*'), fc.boolean(), {
      noNullPrototype: true,
    }),
    flights: fc.dictionary(fc.constantFrom('docker.io', '*'), fc.boolean(), { noNullPrototype: true }),
    flightPatienceMs: duration(500, 20_000),
    disputedTags: fc.constantFrom('auto' as const, 'refuse', 'majority'),
    supervisor: fc.record({
      listen: unique(endpoint(0), 1),
      advertise: unique(reachable),
      names: unique(fc.constantFrom('starling.example.com', '192.0.2.9', '2001:db8::9')),
      certificateLifetimeMs: duration(60_000, 86_400_000),
      embeddedRegistry: fc.constant(false),
      metrics: fc.constant(false),
    }),
  })
  .filter(({ p2p, registry, ops, supervisor }) => {
    const own = [...p2p.listen, ...registry.listen, ...supervisor.listen]
    const ports = [...own, ...(ops.listen === undefined ? [] : [ops.listen])]
    return new Set(ports.map((port) => JSON.stringify(port))).size === ports.length
  })

describe('the effective configuration', () => {
  it('is read back to the same, whatever it is', () => {
    fc.assert(
      fc.property(configs, (generated) => {
        // Records of fast-check have no prototype.
        const config = structuredClone(generated)
        const text = renderConfigYaml(config)
        assert.deepEqual(parseConfig(text, '/x/c.yaml', { hostname: 'other' }), config, text)
      }),
      { numRuns: 200 },
    )
  })

  it('names every key of the schema that has a default', () => {
    const shown = JSON.stringify(renderConfig(parseConfig('{}', '/x/c.yaml', { hostname: 'h' })))
    const visit = (schema: object): void => {
      for (const [key, value] of Object.entries((schema as { properties?: object }).properties ?? {})) {
        const isShown = shown.includes(`"${key}":`)
        assert(
          isShown || key === 'dir' || !('default' in (value as object)),
          `${key} has a default and is not shown`,
        )
        visit(value as object)
      }
    }
    visit(configJsonSchema)
  })

  it('holds no secret, only where they are', () => {
    const { trust } = renderConfig(parseConfig('{}', '/x/c.yaml', { hostname: 'h' }))
    for (const value of Object.values(trust ?? {})) assert.match(value ?? '', /^\//)
  })
})

describe('the JSON Schema of the configuration', () => {
  it('is one that any validator of draft 2020-12 can read', () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false, discriminator: true })
    assert.equal(ajv.validateSchema(configJsonSchema), true)
    const validate = ajv.compile(configJsonSchema)
    assert.equal(validate({ node: { name: 'a' } }), true)
    assert.equal(validate({ nod: {} }), false)
  })

  it('describes every key', () => {
    const visit = (schema: object, where: string): void => {
      for (const [key, value] of Object.entries((schema as { properties?: object }).properties ?? {})) {
        const { description, const: fixed } = value as { description?: string; const?: string }
        assert(fixed !== undefined || (description ?? '').length > 5, `${where}.${key} has no description`)
        visit(value as object, `${where}.${key}`)
      }
    }
    visit(configJsonSchema, 'config')
  })
})
