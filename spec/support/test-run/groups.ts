import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { projectDir } from '../project.ts'

/** Spec files that run together. */
export interface TestGroup {
  readonly name: string
  readonly files: readonly string[]
  /** How many files run at once. */
  readonly concurrency: number
  /** A file that takes longer fails. */
  readonly timeoutMs: number
}

/** These start nodes, containerds or builds, and would disturb one another on a small machine. */
const serialFolders: Readonly<Record<string, number>> = {
  integration: 10 * 60_000,
  packaging: 5 * 60_000,
}

/** All spec files whose path contains one of `words` (all files where there is none), by folder of spec/. */
export function findGroups(words: readonly string[]): TestGroup[] {
  const files = globSync('spec/**/*.spec.ts', { cwd: projectDir })
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .sort()
  const byFolder = Map.groupBy(files, (file) => file.split('/')[1] ?? '')
  const groups = [...byFolder].map(([name, members]) => ({
    name,
    files: members,
    concurrency: name in serialFolders ? 1 : Math.max(2, Math.min(4, availableParallelism())),
    timeoutMs: serialFolders[name] ?? 2 * 60_000,
  }))
  return groups.sort((a, b) => Number(a.name in serialFolders) - Number(b.name in serialFolders))
}
