import { readFile } from 'node:fs/promises'
import { runOrFail } from './processes.ts'
import { findProgram } from './requirements.ts'
import type { TarFile } from './tar.ts'

/** The shared libraries of a program, by the dynamic linker's own account. */
export async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await runOrFail('ldd', [program])
  return [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] ?? '')
}

/** A program of this machine as `/<name>`, and its libraries where it looks for them: all that a layer needs to run it. */
export async function programFiles(name: string): Promise<TarFile[]> {
  const program = findProgram(name)
  if (program === undefined) throw new Error(`this machine has no ${name}`)
  const files = [{ path: program, as: name }]
  for (const library of await librariesOf(program)) files.push({ path: library, as: library.slice(1) })
  const made: TarFile[] = []
  for (const { path, as } of files) {
    const bytes = await readFile(path)
    made.push({ name: as, sizeBytes: bytes.length, mode: 0o755, bytes: () => [bytes] })
  }
  return made
}
