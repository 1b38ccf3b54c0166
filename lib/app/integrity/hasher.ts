import { Worker } from 'node:worker_threads'
import { workerEntry } from '../program-files.ts'
import type { HashJob, HashResult, ToHasher } from './messages.ts'

const entry = workerEntry('lib/app/integrity/worker')

/** A thread costs memory: one without work is ended. */
const idleMs = 5000
const maxHeapMb = 64

/** The thread that hashes blobs, one at a time; it runs only while there is work. */
export class Hasher {
  readonly #mapsPath: string
  #worker: Worker | undefined
  #nextId = 1
  #waiting: { readonly id: number; readonly resolve: (result: HashResult) => void } | undefined
  #idle: NodeJS.Timeout | undefined

  constructor(mapsPath: string) {
    this.#mapsPath = mapsPath
  }

  /** Only one at a time. Never rejects: a thread that ends is `unreadable`. */
  hash(job: Omit<HashJob, 'id'>): Promise<HashResult> {
    clearTimeout(this.#idle)
    const id = this.#nextId++
    const worker = this.#worker ?? this.#start()
    return new Promise((resolve) => {
      this.#waiting = { id, resolve }
      worker.postMessage({ type: 'job', job: { ...job, id } } satisfies ToHasher)
    })
  }

  /** What is being hashed is done as fast as it goes from now on. */
  hurry(): void {
    this.#worker?.postMessage({ type: 'hurry' } satisfies ToHasher)
  }

  async stop(): Promise<void> {
    clearTimeout(this.#idle)
    await this.#worker?.terminate()
  }

  #start(): Worker {
    const worker = new Worker(entry, {
      workerData: { mapsPath: this.#mapsPath },
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
      name: 'starling-hasher',
    })
    this.#worker = worker
    let problem = 'the thread ended'
    worker.on('message', (result: HashResult) => this.#settle(result))
    worker.on('error', (error: Error) => {
      problem = error.message
    })
    worker.on('exit', () => {
      if (this.#worker !== worker) return
      this.#worker = undefined
      this.#settle({ id: this.#waiting?.id ?? 0, outcome: 'unreadable', bytes: 0, problem })
    })
    worker.unref()
    return worker
  }

  #settle(result: HashResult): void {
    const waiting = this.#waiting
    if (waiting === undefined || waiting.id !== result.id) return
    this.#waiting = undefined
    this.#idle = setTimeout(() => {
      const worker = this.#worker
      this.#worker = undefined
      void worker?.terminate()
    }, idleMs).unref()
    waiting.resolve(result)
  }
}
