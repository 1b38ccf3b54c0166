/** What one benchmark found, as a table; `notes` say how it was measured. */
export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly (string | number)[])[]
  readonly notes?: readonly string[]
}

export interface BenchmarkOptions {
  /** Fewer rounds and smaller sizes: shows that it works, not how fast. */
  readonly quick: boolean
}

/** One benchmark of `npm run bench`; `name` selects it on the command line, `title` heads its table. */
export interface Benchmark {
  readonly name: string
  readonly title: string
  /** `log` takes lines of progress. */
  run(log: (line: string) => void, options: BenchmarkOptions): Promise<Table>
}
