/** What one benchmark found, as a table; `notes` say how it was measured. */
export interface Table {
  /** Heads this table where a benchmark has several. */
  readonly part?: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
  readonly notes?: readonly string[]
}

export interface BenchmarkOptions {
  /** Fewer rounds and smaller sizes: shows that it works, not how fast. */
  readonly quick: boolean
  /** How often each thing is measured, where the benchmark has rounds; undefined: as often as it does by itself. */
  readonly rounds?: number | undefined
  /** Only these parts of it; undefined: all. */
  readonly parts?: readonly string[] | undefined
}

/** One benchmark of `npm run bench`; `name` selects it on the command line, `title` heads its table. */
export interface Benchmark {
  readonly name: string
  readonly title: string
  /** `log` takes lines of progress. */
  run(log: (line: string) => void, options: BenchmarkOptions): Promise<Table | readonly Table[]>
  /** Names of its parts, where it has any. */
  readonly parts?: readonly string[]
}
