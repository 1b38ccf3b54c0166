export type Compression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'lz4'

const endings: readonly (readonly [RegExp, Compression])[] = [
  [/\.tar$/, 'none'],
  [/\.(?:tar\.gz|tgz)$/, 'gzip'],
  [/\.(?:tar\.zst|tzst)$/, 'zstd'],
  [/\.(?:tar\.bz2|tbz2?)$/, 'bzip2'],
  [/\.tar\.lz4$/, 'lz4'],
]

/** What the name of a file says that it is; undefined for names that are no archive's. */
export function compressionOfName(name: string): Compression | undefined {
  return endings.find(([pattern]) => pattern.test(name))?.[1]
}
