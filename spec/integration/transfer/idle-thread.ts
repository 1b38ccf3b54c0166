import { Worker } from 'node:worker_threads'

/** A timer that should fire every 10 ms, and how late it did. */
const program = `
const { monitorEventLoopDelay } = require('node:perf_hooks')
const { parentPort } = require('node:worker_threads')
const resolution = 10
const delay = monitorEventLoopDelay({ resolution })
delay.enable()
parentPort.once('message', () => parentPort.postMessage(Math.max(0, delay.percentile(99) / 1e9 - resolution / 1000)))
parentPort.postMessage('started')
`

/** A thread that does nothing: what it is late by is what the machine makes everybody wait, whoever is at work there. */
export class IdleThread implements AsyncDisposable {
  readonly #worker: Worker

  static async start(): Promise<IdleThread> {
    const thread = new IdleThread()
    await thread.#message()
    return thread
  }

  private constructor() {
    this.#worker = new Worker(program, { eval: true })
  }

  /** p99 from the start until now; about 0.001 on a quiet machine. To be asked once. */
  async lateSeconds(): Promise<number> {
    const answer = this.#message()
    this.#worker.postMessage('end')
    return Number(await answer)
  }

  #message(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#worker.once('message', resolve)
      this.#worker.once('error', reject)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }
}
