import { JoinRefusedError } from '../../trust/join-refusal.ts'

/**
 * One after the other: a secret's hash takes 50 ms of libuv's thread pool, which file reads share, so however many ask to
 * join, one thread is busy with them.
 */
export class Turns {
  readonly #max: number
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()

  /** @param max how many may wait */
  constructor(max: number) {
    this.#max = max
  }

  /** @throws JoinRefusedError `busy` when too many wait; what `act` throws */
  take<T>(act: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#max) {
      return Promise.reject(new JoinRefusedError('busy', 'too many nodes join at once', 'try again soon'))
    }
    this.#waiting += 1
    const turn = this.#last.then(act).finally(() => {
      this.#waiting -= 1
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }
}
