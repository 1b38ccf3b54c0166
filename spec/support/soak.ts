/**
 * `npm run soak [-- WORD …]`: what takes too long for every test run, one file after the other: each of `spec/soak` whose
 * path contains one of the words (all without any). Ends with 1 where something failed or nothing ran.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { projectDir } from './project.ts'

const words = process.argv.slice(2)
const files = globSync('spec/soak/**/*.soak.ts', { cwd: projectDir })
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort()

if (files.length === 0) {
  process.stderr.write(`nothing in spec/soak has ${words.join(' or ')} in its path\n`)
  process.exitCode = 1
}
for (const file of files) {
  process.stdout.write(`${file}\n`)
  const child = spawn(process.execPath, ['--test', file], { cwd: projectDir, stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) process.exitCode = 1
}
