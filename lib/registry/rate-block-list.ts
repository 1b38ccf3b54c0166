import { BlockList, type SocketAddress } from 'node:net'

/** Node closes what a server's block list names before it makes a socket of it: the cheapest way to say no. */
export class RateBlockList extends BlockList {
  readonly #isTooFast: (host: string) => boolean

  constructor(isTooFast: (host: string) => boolean) {
    super()
    this.#isTooFast = isTooFast
  }

  override check(address: string | SocketAddress): boolean {
    return this.#isTooFast(typeof address === 'string' ? address : address.address)
  }
}
