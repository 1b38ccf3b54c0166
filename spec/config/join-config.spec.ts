import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseConfig } from '../../lib/config/config-file.ts'
import type { NodeRole } from '../../lib/config/join-config.ts'
import { renderConfigYaml } from '../../lib/config/render-config.ts'
import { describeError } from '../../lib/core/errors.ts'

const parse = (text: string, role?: NodeRole) => parseConfig(text, '/x/c.yaml', { hostname: 'h', role })
const problemOf = (text: string, role?: NodeRole): string => {
  try {
    parse(text, role)
    return ''
  } catch (error) {
    return describeError(error)
  }
}
const key = 'a'.repeat(40)
const joining = 'server: https://server-1:9345\ntokenFile: token\n'

describe('the configuration of servers and of nodes that join', () => {
  it('has the trust files where the servers put them, and elsewhere for nodes that work from files', () => {
    const psk = (text: string, role?: NodeRole) => parse(text, role).trust.psk
    assert.equal(psk('{}'), '/etc/starling/trust/psk')
    assert.equal(psk('trust: files', 'agent'), '/etc/starling/trust/psk')
    assert.equal(psk(joining, 'agent'), '/var/lib/starling/trust/psk')
    assert.equal(psk(joining), '/var/lib/starling/trust/psk')
    assert.equal(psk('dataDir: d', 'server'), '/x/d/trust/psk')
    assert.equal(psk('embedded-registry: true\ndataDir: d'), '/x/d/trust/psk')
    assert.equal(psk('trust: {dir: t}', 'agent'), '/x/t/psk')
  })

  it('names the server with its port, and the token by its file', () => {
    assert.deepEqual(parse(joining).join, {
      server: 'https://server-1:9345',
      token: undefined,
      tokenFile: '/x/token',
    })
    assert.equal(parse("server: 'https://[2001:db8::1]'").join?.server, 'https://[2001:db8::1]:9345')
    assert.equal(parse('server: https://192.0.2.1:443/').join?.server, 'https://192.0.2.1:443')
    assert.equal(parse('{}').join, undefined)
    assert.equal(parse('{}').supervisor?.embeddedRegistry, false)
    assert.equal(parse('{}').supervisor?.certificateLifetimeMs, 90 * 86_400_000)
  })

  for (const [what, text, role, expected] of [
    ['a URL without https', 'server: http://a:9345', 'agent', /server must be .*begins with https/],
    ['a URL with a path', 'server: https://a:9345/x', 'agent', /nothing but a host and a port/],
    ['a URL with a password', 'server: https://u:p@a:9345', 'agent', /nothing but a host and a port/],
    ['a token without a server', 'tokenFile: t', 'server', /server is not set/],
    ['two tokens', `${joining}token: abcdef.${key}`, 'agent', /two ways/],
    ['a key of servers in the file of an agent', 'embedded-registry: true', 'agent', /starling server/],
    ['metrics of servers on an agent', 'supervisor-metrics: true', 'agent', /starling server/],
    ['a server that works from files', 'trust: files', 'server', /does not work from files/],
    ['a node that joins and works from files', `${joining}trust: files`, 'agent', /does not work from files/],
    ['a trust folder of a node that joins', `${joining}trust: {dir: t}`, 'agent', /remove trust/],
    ['another word for trust', 'trust: file', 'agent', /trust cannot be used/],
    ['a wildcard as a name', 'supervisor: {names: [0.0.0.0]}', 'server', /wildcard/],
    ['a life of a second', 'supervisor: {certificateLifetime: 1s}', 'server', /at least 1m/],
    ['a port that is taken', "supervisor: {listen: '0.0.0.0:6443'}", 'server', /both take/],
  ] as const) {
    it(`is refused with ${what}`, () => {
      assert.match(problemOf(text, role), expected)
    })
  }

  it('never shows a token: neither in an error nor when it is printed', () => {
    const good = `server: https://a:9345\ntoken: abcdef.${key}\n`
    assert.equal(problemOf(good, 'agent'), '')
    assert.equal(renderConfigYaml(parse(good)).includes(key), false)
    for (const bad of [`token: abcdef.${key}.${key}`, `token: K10x::node:abcdef.${key}`, `token: [${key}]`]) {
      const problem = problemOf(`server: https://a:9345\n${bad}\n`, 'agent')
      assert.match(problem, /token/)
      assert.equal(problem.includes(key), false, problem)
    }
  })
})
