import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'

const moduleOf = (path: string) => JSON.stringify(new URL(`../../lib/${path}`, import.meta.url).href)

interface Run {
  readonly code: number | null
  readonly messages: readonly string[]
  readonly lines: readonly Record<string, unknown>[]
}

/** Runs `start` in a process of its own; each time `says` is logged the next signal is sent. */
async function run(
  start: string,
  signals: readonly (readonly [says: string, signal: NodeJS.Signals])[],
): Promise<Run> {
  const program = `
    import { createLogger } from ${moduleOf('app/logger.ts')}
    import { runUntilSignal } from ${moduleOf('cli/run-until-signal.ts')}
    import { exitCodeOf } from ${moduleOf('cli/context.ts')}
    import { StarlingError } from ${moduleOf('core/errors.ts')}
    const log = createLogger({ level: 'info' })
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
    const code = await runUntilSignal({ log, graceMs: 1000, exitCodeOf, start: async () => { ${start} } })
    log.flush()
    process.exit(code)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'inherit', 'pipe'],
  })
  const waiting = [...signals]
  let text = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text += part
    const [next] = waiting
    if (next !== undefined && text.includes(`"msg":"${next[0]}"`)) {
      waiting.shift()
      child.kill(next[1])
    }
  })
  const [code] = (await once(child, 'close')) as [number | null]
  const lines = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { code, lines, messages: lines.map((line) => String(line.msg)) }
}

const node = "log.info({}, 'up'); return { stop: async () => { await wait(20); log.info({}, 'stopping') } }"

describe('a node in the foreground', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`is stopped by ${signal} and ends with 0`, async () => {
      const { code, messages } = await run(node, [['up', signal]])
      assert.equal(code, 0)
      assert.deepEqual(messages, ['up', 'the node stops', 'stopping', 'the node has stopped'])
    })
  }

  it('takes a signal that comes while it starts', async () => {
    const slow = `log.info({}, 'soon'); await wait(200); ${node}`
    const { code, messages } = await run(slow, [['soon', 'SIGTERM']])
    assert.equal(code, 0)
    assert.deepEqual(messages, ['soon', 'the node stops', 'up', 'stopping', 'the node has stopped'])
  })

  it('ends at once at the second signal', async () => {
    const stuck = "log.info({}, 'up'); return { stop: () => new Promise(() => {}) }"
    const { code, messages } = await run(stuck, [
      ['up', 'SIGTERM'],
      ['the node stops', 'SIGTERM'],
    ])
    assert.equal(code, 143)
    assert.equal(messages.at(-1), 'second signal, the node ends at once')
  })

  it('goes on after SIGHUP and says what it does', async () => {
    const { code, messages } = await run(node, [
      ['up', 'SIGHUP'],
      ['SIGHUP: the files are looked at', 'SIGTERM'],
    ])
    assert.equal(code, 0)
    assert(messages.includes('SIGHUP: the files are looked at'))
  })

  it('that cannot start says why in one line with its code', async () => {
    const { code, lines } = await run("throw new StarlingError('PORT_IN_USE', 'taken', { hint: 'move' })", [])
    assert.equal(code, 1)
    assert.equal(lines.length, 1)
    assert.deepEqual([lines[0]?.code, lines[0]?.reason], ['PORT_IN_USE', 'taken; move'])
  })

  for (const [what, start] of [
    ['an error that nobody caught', `setTimeout(() => { throw new Error('boom') }, 10); ${node}`],
    ['a promise that nobody awaited', `void wait(10).then(() => { throw new Error('boom') }); ${node}`],
  ] as const) {
    it(`ends with 1 and one line at ${what}`, async () => {
      const { code, lines } = await run(start, [])
      const last = lines.at(-1)
      assert.equal(code, 1)
      assert.deepEqual([last?.msg, last?.error], ['unexpected error, the node ends', { message: 'boom' }])
      assert(!JSON.stringify(lines).includes('\\n'), 'a stack trace')
    })
  }
})
