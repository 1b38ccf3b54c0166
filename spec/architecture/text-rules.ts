import type { SourceFile } from './layers.ts'

export const maxLines = 350
export const maxMedianLines = 120

const lineCount = (text: string) => text.split('\n').length - (text.endsWith('\n') ? 1 : 0)

export function tooLong(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => lineCount(file.text) > maxLines)
    .map((file) => `${file.path} has ${lineCount(file.text)} lines`)
}

export function medianLines(files: readonly SourceFile[]): number {
  const counts = files.map((file) => lineCount(file.text)).sort((a, b) => a - b)
  return counts[Math.floor(counts.length / 2)] ?? 0
}

/** Names that are not kebab-case: `word-word.ts`, with a suffix such as `.spec` where it has one. */
export function badNames(paths: readonly string[]): string[] {
  return paths.filter((path) =>
    path.split('/').some((part) => !/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*$/.test(part)),
  )
}

/** Joined here, so that this file is not found by its own rules. */
const textRules: Readonly<Record<string, RegExp>> = {
  'work that is left for later': new RegExp(`\\b(?:${['TO', 'FIX', 'XX'].join('|')})(?:DO|ME|X)\\b`),
  'a path of one machine': /(?:^|[\s'"`(=:])\/(?:work|home|Users)\/[A-Za-z]/m,
  'a private key': /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}/,
}

export function textViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) =>
    Object.entries(textRules).flatMap(([what, pattern]) => {
      const match = pattern.exec(file.text)
      if (match === null) return []
      return [`${file.path}:${file.text.slice(0, match.index + 1).split('\n').length} has ${what}`]
    }),
  )
}
