#!/usr/bin/env -S MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 node --max-semi-space-size=2 --heap-growing-percent=25
const major = Number(process.versions.node.split('.', 1)[0])
if (major < 24) {
  process.stderr.write(`starling: it needs Node.js 24 or later, and this is ${process.versions.node}\n`)
  process.exit(1)
}
for (const stream of [process.stdout, process.stderr]) {
  // A reader that has seen enough (`starling peers | head`) is no error.
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
}
const { main } = await import('../lib/cli/main.ts')
await main(process.argv.slice(2), {
  write: (text) => process.stdout.write(text),
  note: (line) => process.stderr.write(`${line}\n`),
  setExitCode: (code) => {
    process.exitCode = code
  },
})

export {}
