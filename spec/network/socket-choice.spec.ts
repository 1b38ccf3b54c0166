import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseSocket } from '../../lib/network/socket-choice.ts'

const cases: readonly { bound: string[]; to: string; chosen: string | undefined; why: string }[] = [
  { bound: ['0.0.0.0'], to: '10.0.0.1', chosen: '0.0.0.0', why: 'a wildcard reaches everything' },
  { bound: ['0.0.0.0', '::'], to: 'fd00::1', chosen: '::', why: 'the family decides first' },
  { bound: ['10.0.0.5'], to: 'fd00::1', chosen: undefined, why: 'no socket of that family' },
  {
    bound: ['127.0.0.1', '10.0.0.5'],
    to: '10.9.9.9',
    chosen: '10.0.0.5',
    why: 'loopback leads nowhere else',
  },
  { bound: ['127.0.0.1'], to: '10.9.9.9', chosen: undefined, why: 'only loopback is bound' },
  { bound: ['10.0.0.5', '127.0.0.1'], to: '127.3.2.1', chosen: '127.0.0.1', why: 'loopback to loopback' },
  { bound: ['192.168.7.5', '10.0.0.5'], to: '10.0.3.9', chosen: '10.0.0.5', why: 'the longer common prefix' },
  { bound: ['10.0.0.5', '10.0.3.5'], to: '10.0.3.9', chosen: '10.0.3.5', why: 'the longer common prefix' },
  { bound: ['10.0.0.5', '0.0.0.0'], to: '10.0.0.9', chosen: '0.0.0.0', why: 'the kernel knows the routes' },
  { bound: ['fd00:1::5', 'fd00:2::5'], to: 'fd00:2::9', chosen: 'fd00:2::5', why: 'prefixes in IPv6' },
  {
    bound: ['::1', 'fe80::1%eth0'],
    to: 'fe80::2%eth0',
    chosen: 'fe80::1%eth0',
    why: 'zones are no obstacle',
  },
  { bound: ['::1'], to: '::1', chosen: '::1', why: 'IPv6 loopback' },
  { bound: [], to: '10.0.0.1', chosen: undefined, why: 'nothing is bound' },
]

for (const { bound, to, chosen, why } of cases) {
  test(`a datagram to ${to} leaves by ${chosen ?? 'no socket'} of [${bound.join(', ')}]: ${why}`, () => {
    const endpoints = bound.map((host) => ({ host, port: 5001 }))
    const index = chooseSocket(endpoints, to)
    assert.equal(index === undefined ? undefined : endpoints[index]?.host, chosen)
  })
}
