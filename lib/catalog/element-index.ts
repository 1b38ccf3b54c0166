import { KeyTable } from './key-table.ts'
import { Postings, postingColumns } from './postings.ts'

/** Elements of one kind in one registry: each key once, with the origins that hold it. */
export class ElementIndex {
  readonly table: KeyTable
  readonly postings: Postings

  /** `extraWords` columns follow those of the postings. */
  constructor(seed: number, extraWords = 0) {
    this.table = new KeyTable(postingColumns + extraWords, seed)
    this.postings = new Postings(this.table)
  }

  get sizeBytes(): number {
    return this.table.sizeBytes + this.postings.sizeBytes
  }

  /** Ends that an origin holds an element; one that nobody holds is freed. */
  drop(id: number, origin: number): void {
    this.postings.remove(id, origin)
    this.freeUnheld(id)
  }

  /** Frees an element unless somebody holds it. */
  freeUnheld(id: number): void {
    if (this.postings.count(id) > 0) return
    this.beforeRelease(id)
    this.table.release(id)
  }

  protected beforeRelease(_id: number): void {}
}
