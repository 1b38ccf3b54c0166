import type { Clock, Rng } from '../../lib/core/ports.ts'
import { EventQueue } from './event-queue.ts'
import { seededRng } from './random.ts'

/**
 * How datagrams fare; rates are in [0, 1]. A delay is drawn evenly between the bounds, with an exponential tail on top
 * where there is one, so that datagrams overtake each other. What is left out costs nothing.
 */
export interface NetworkModel {
  readonly lossRate: number
  readonly duplicateRate: number
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Mean of the tail. */
  readonly tailMs?: number
  /** Uplink of each node. */
  readonly bytesPerMs?: number
  /** What a datagram costs the one core of its sender and of its receiver. */
  readonly cpu?: { readonly sendMs: number; readonly receiveMs: number }
}

/** What a node has spent. */
export interface Spending {
  datagrams: number
  /** Of datagrams as they were handed in, and of what `charge` adds. */
  bytes: number
  cpuMs: number
}

export const calmNetwork: NetworkModel = { lossRate: 0, duplicateRate: 0, minDelayMs: 0.2, maxDelayMs: 2 }

/**
 * `up` runs; `paused` is stopped by SIGSTOP: what is meant for it waits; `killed` is a dead process on a live host,
 * which refuses; `vanished` is a host that is gone.
 */
export type NodeCondition = 'up' | 'paused' | 'killed' | 'vanished'

/** What a TCP connect meets. */
export type ConnectOutcome = 'answered' | 'accepted' | 'refused' | 'silent'

type Receiver = (from: string, bytes: Uint8Array) => void

interface SimNode {
  receive: Receiver
  condition: NodeCondition
  /** The node has begun a new life: what was scheduled for this one is dropped. */
  isOver: boolean
  monotonicOffsetMs: number
  wallOffsetMs: number
  /** Its core works until then; its uplink sends until then. */
  busyUntilMs: number
  linkFreeMs: number
  readonly spent: Spending
  /** What came while it was paused or its core busy, from `handledOfBacklog` on. */
  backlog: (() => void)[]
  handledOfBacklog: number
  /** Datagrams among what came. */
  buffered: number
}

const epochMs = Date.UTC(2030, 0, 1)
/** The kernel of a process that is paused or busy buffers so many datagrams; more are lost. */
const socketBacklog = 256

/**
 * Virtual time and a network for deterministic simulations. Single-threaded; nothing sleeps and nothing is random but
 * by `seed`. Nodes are named by strings. Messages are bytes, so that everything passes the shipped encoders.
 */
export class SimKernel {
  readonly seed: number
  /** For the scenario and the network; nodes draw from `fork()`. */
  readonly rng: Rng
  network: NetworkModel
  readonly #queue = new EventQueue<SimNode>()
  readonly #nodes = new Map<string, SimNode>()
  /** Ordered pairs `from→to` through which nothing passes. */
  readonly #cuts = new Set<string>()
  #sideOf: ReadonlyMap<string, number> | undefined
  #nowMs = 0
  #handled = 0

  constructor(seed: number, network: NetworkModel = calmNetwork) {
    this.seed = seed
    this.rng = seededRng(seed)
    this.network = network
  }

  /** True virtual time; what a node believes is `clockOf(node)`. */
  nowMs(): number {
    return this.#nowMs
  }

  /** Events so far. */
  get handled(): number {
    return this.#handled
  }

  /** A generator of its own, so that one node's draws don't move another's. */
  fork(): Rng {
    return seededRng(Math.floor(this.rng.next() * 2 ** 32))
  }

  /** Runs `action` at a true virtual time; a time that has passed means as soon as possible. */
  schedule(atMs: number, action: () => void): void {
    this.#queue.push(Math.max(atMs, this.#nowMs), action)
  }

  /** A timer of a node: waits while it is paused and dies with it. */
  scheduleFor(node: string, afterMs: number, action: () => void): void {
    this.#queue.push(this.#nowMs + Math.max(0, afterMs), action, this.#node(node))
  }

  /** Adds a node, or begins a new life of one; the condition becomes `up`. */
  boot(node: string, receive: Receiver): void {
    const known = this.#nodes.get(node)
    if (known !== undefined) known.isOver = true
    this.#nodes.set(node, {
      receive,
      condition: 'up',
      isOver: false,
      monotonicOffsetMs: this.rng.next() * 1e6,
      wallOffsetMs: known?.wallOffsetMs ?? 0,
      busyUntilMs: 0,
      linkFreeMs: 0,
      spent: known?.spent ?? { datagrams: 0, bytes: 0, cpuMs: 0 },
      backlog: [],
      handledOfBacklog: 0,
      buffered: 0,
    })
  }

  /** Stops a node. A paused one goes on with `resume`, the others are begun anew with `boot`. */
  halt(node: string, condition: Exclude<NodeCondition, 'up'>): void {
    const state = this.#node(node)
    state.condition = condition
    if (condition !== 'paused') this.#clearBacklog(state)
  }

  resume(node: string): void {
    const state = this.#node(node)
    if (state.condition !== 'paused') return
    state.condition = 'up'
    this.#queue.push(this.#nowMs, () => this.#catchUp(state))
  }

  spentBy(node: string): Spending {
    return this.#node(node).spent
  }

  /** A stream's share of a node's uplink and core, for what is no datagram. */
  charge(node: string, bytes: number, cpuMs: number): void {
    const { spent } = this.#node(node)
    spent.bytes += bytes
    if (cpuMs > 0) this.occupy(node, cpuMs)
    spent.cpuMs += cpuMs
  }

  /** Takes the core away for so long, as another process or a hypervisor does: timers and datagrams wait. */
  occupy(node: string, durationMs: number): void {
    const state = this.#node(node)
    state.busyUntilMs = Math.max(state.busyUntilMs, this.#nowMs) + durationMs
  }

  conditionOf(node: string): NodeCondition {
    return this.#node(node).condition
  }

  clockOf(node: string): Clock {
    return {
      monotonicMs: () => this.#nowMs + this.#node(node).monotonicOffsetMs,
      wallMs: () => epochMs + this.#nowMs + this.#node(node).wallOffsetMs,
    }
  }

  /** Both clocks leap forward, as after a sleep; the wall clock alone may also leap back. */
  jumpClock(node: string, jump: { monotonicMs?: number; wallMs?: number }): void {
    const state = this.#node(node)
    state.monotonicOffsetMs += Math.max(0, jump.monotonicMs ?? 0)
    state.wallOffsetMs += jump.wallMs ?? 0
  }

  /** Cuts one direction only. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}→${to}`)
  }

  mend(from: string, to: string): void {
    this.#cuts.delete(`${from}→${to}`)
  }

  /** Only nodes of the same group hear each other; nodes in no group form one. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#sideOf = new Map(groups.flatMap((group, side) => group.map((node) => [node, side] as const)))
  }

  /** Ends the partition and every cut. */
  healAll(): void {
    this.#sideOf = undefined
    this.#cuts.clear()
  }

  /** Is there a path in this direction? The receiver's condition does not matter. */
  isOpen(from: string, to: string): boolean {
    if (this.#sideOf !== undefined && this.#sideOf.get(from) !== this.#sideOf.get(to)) return false
    return this.#cuts.size === 0 || !this.#cuts.has(`${from}→${to}`)
  }

  /** A datagram: may be lost, doubled, delayed and overtaken. */
  send(from: string, to: string, bytes: Uint8Array): void {
    const departsMs = this.#depart(this.#node(from), bytes.length)
    const copies = this.rng.next() < this.network.duplicateRate ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      if (this.rng.next() < this.network.lossRate || !this.isOpen(from, to)) continue
      this.schedule(departsMs + this.delayMs(), () => {
        const state = this.#nodes.get(to)
        if (state === undefined || !this.isOpen(from, to)) return
        this.#receive(state, () => {
          this.#charge(state, this.network.cpu?.receiveMs)
          state.receive(from, bytes)
        })
      })
    }
  }

  /** One draw of the network's delay. */
  delayMs(): number {
    const { minDelayMs, maxDelayMs, tailMs } = this.network
    const tail = tailMs === undefined ? 0 : -tailMs * Math.log(1 - this.rng.next())
    return minDelayMs + this.rng.next() * (maxDelayMs - minDelayMs) + tail
  }

  /** What a TCP connect and a request on it would meet now; streams repair loss by themselves. */
  connect(from: string, to: string): ConnectOutcome {
    const state = this.#nodes.get(to)
    if (state === undefined || !this.isOpen(from, to) || !this.isOpen(to, from)) return 'silent'
    if (state.condition === 'vanished') return 'silent'
    if (state.condition === 'killed') return 'refused'
    return state.condition === 'paused' ? 'accepted' : 'answered'
  }

  /** Goes on until the true virtual time `untilMs`. */
  run(untilMs: number): void {
    for (
      let next = this.#queue.nextMs();
      next !== undefined && next <= untilMs;
      next = this.#queue.nextMs()
    ) {
      const entry = this.#queue.pop()
      if (entry === undefined) break
      this.#nowMs = entry.atMs
      this.#handled++
      if (entry.owner === undefined) entry.run()
      else this.#runOn(entry.owner, entry.run)
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs)
  }

  /** When the datagram has left the node. */
  #depart(state: SimNode, sizeBytes: number): number {
    const { cpu, bytesPerMs } = this.network
    state.spent.datagrams += 1
    state.spent.bytes += sizeBytes
    this.#charge(state, cpu?.sendMs)
    const readyMs = Math.max(this.#nowMs, state.busyUntilMs)
    if (bytesPerMs === undefined) return readyMs
    state.linkFreeMs = Math.max(readyMs, state.linkFreeMs) + sizeBytes / bytesPerMs
    return state.linkFreeMs
  }

  #charge(state: SimNode, durationMs: number | undefined): void {
    if (durationMs === undefined) return
    state.spent.cpuMs += durationMs
    state.busyUntilMs = Math.max(state.busyUntilMs, this.#nowMs) + durationMs
  }

  #receive(state: SimNode, action: () => void): void {
    if (this.#isFree(state)) action()
    else if (state.buffered < socketBacklog) {
      state.buffered++
      this.#runOn(state, () => {
        state.buffered--
        action()
      })
    }
  }

  #runOn(state: SimNode, action: () => void): void {
    if (this.#isFree(state)) action()
    else if (!state.isOver && (state.condition === 'up' || state.condition === 'paused'))
      this.#defer(state, action)
  }

  #isFree(state: SimNode): boolean {
    if (state.isOver || state.condition !== 'up') return false
    return state.busyUntilMs <= this.#nowMs && state.backlog.length === 0
  }

  /** For when the core is free again: one entry of the queue wakes all that waits for it, in order. */
  #defer(state: SimNode, action: () => void): void {
    state.backlog.push(action)
    if (state.backlog.length === 1 && state.condition === 'up') this.#wakeLater(state)
  }

  #wakeLater(state: SimNode): void {
    this.#queue.push(state.busyUntilMs, () => this.#catchUp(state))
  }

  /** A paused node goes on with it when it resumes. */
  #catchUp(state: SimNode): void {
    while (state.condition === 'up' && !state.isOver && state.handledOfBacklog < state.backlog.length) {
      if (state.busyUntilMs > this.#nowMs) {
        this.#wakeLater(state)
        return
      }
      state.backlog[state.handledOfBacklog++]!()
    }
    if (state.handledOfBacklog === state.backlog.length) this.#clearBacklog(state)
  }

  #clearBacklog(state: SimNode): void {
    state.backlog = []
    state.handledOfBacklog = 0
  }

  #node(node: string): SimNode {
    const state = this.#nodes.get(node)
    if (state === undefined) throw new Error(`there is no node ${node}`)
    return state
  }
}
