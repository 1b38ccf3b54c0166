import type { KeyPair } from '../core/credentials.ts'
import { StarlingError } from '../core/errors.ts'
import { type AuthorityEntry, type ClusterState, nextStamp } from './cluster-state.ts'

/**
 * How the secrets of a cluster are exchanged while it works. A rotation goes through stages, and the next one begins only
 * when every node that could be left behind works with the present one:
 *
 * - PSK: `spread` (all accept the new key, the old one sends), `switch` (the new one sends, all accept the old), end;
 * - CA: `spread` (all accept what the new roots sign), `switch` (all have certificates of the new roots), end.
 *
 * A rotation that is broken off goes the same way back, and what was only spread is dropped at once.
 */
export type RotationStage = 'spread' | 'switch'

interface Stage {
  readonly stage: RotationStage
  /** It goes back to what was before. */
  readonly back: boolean
  /** Milliseconds since 1970. */
  readonly startedMs: number
  readonly stageMs: number
  /** Name of the server that moves it on. */
  readonly conductor: string
}

export interface PskRotation extends Stage {
  readonly kind: 'psk'
  /** Hex. */
  readonly oldKeys: readonly string[]
  readonly newKey: string
}

/** Roots that sign, and what nodes must accept for them. */
export interface Roots {
  readonly serverCa: KeyPair
  readonly clientCa: KeyPair
  readonly serverCaPem: string
  readonly clientCaPem: string
}

export interface CaRotation extends Stage {
  readonly kind: 'ca'
  readonly old: Roots
  readonly next: Roots
  /** The new server root signed by the old one: tokens that pin the old root lead to the new one through it. */
  readonly crossSignedPem: string
}

export type Rotation = PskRotation | CaRotation

export interface RotationStart {
  readonly nowMs: number
  /** The server that begins or moves it. */
  readonly by: string
}

function refuse(message: string, hint: string): StarlingError {
  return new StarlingError('ROTATION_REFUSED', message, { hint })
}

/** The rotation that is under way. */
export function rotationOf(state: ClusterState): Rotation | undefined {
  return state.authority.rotation as Rotation | undefined
}

/** Begins to exchange the PSK. @throws StarlingError ROTATION_REFUSED where a rotation is under way */
export function startPskRotation(state: ClusterState, newKey: string, start: RotationStart): ClusterState {
  refuseSecond(state)
  const oldKeys = state.authority.keyring
  if (oldKeys.includes(newKey)) throw refuse('the new key is in the keyring already', 'make another one')
  return write(state, { kind: 'psk', oldKeys, newKey, ...firstStage(start) }, start.by)
}

/** Begins to exchange both roots. @throws StarlingError ROTATION_REFUSED where a rotation is under way */
export function startCaRotation(
  state: ClusterState,
  next: { readonly serverCa: KeyPair; readonly clientCa: KeyPair; readonly crossSignedPem: string },
  start: RotationStart,
): ClusterState {
  refuseSecond(state)
  const { serverCa, clientCa, serverCaPem, clientCaPem } = state.authority
  const rotation: CaRotation = {
    kind: 'ca',
    old: { serverCa, clientCa, serverCaPem, clientCaPem },
    next: {
      serverCa: next.serverCa,
      clientCa: next.clientCa,
      serverCaPem: next.serverCa.certPem,
      clientCaPem: next.clientCa.certPem,
    },
    crossSignedPem: next.crossSignedPem,
    ...firstStage(start),
  }
  return write(state, rotation, start.by)
}

/**
 * Begins the next stage, or ends the rotation. Call it only when every node works with the present stage.
 * @throws StarlingError ROTATION_REFUSED where none is under way
 */
export function advanceRotation(state: ClusterState, { nowMs, by }: RotationStart): ClusterState {
  const rotation = rotationOf(state)
  if (rotation === undefined) throw refuse('no rotation is under way', 'starling trust rotate-psk begins one')
  if (rotation.stage === 'spread' && !rotation.back) {
    return write(state, { ...rotation, stage: 'switch', stageMs: nowMs }, by)
  }
  return end(state, rotation, by)
}

/**
 * Turns a rotation round. What was only spread nobody uses yet, so its conductor drops it at once; what is in use, or may be
 * since another server moved the rotation on, goes back to being only accepted first.
 * @throws StarlingError ROTATION_REFUSED where none is under way
 */
export function abortRotation(state: ClusterState, { nowMs, by }: RotationStart): ClusterState {
  const rotation = rotationOf(state)
  if (rotation === undefined) throw refuse('no rotation is under way', 'there is nothing to break off')
  const back: Rotation = { ...rotation, back: true, stage: 'spread', stageMs: nowMs, conductor: by }
  if (rotation.back) return rotation.conductor === by ? state : write(state, back, by)
  if (rotation.stage === 'switch' || rotation.conductor !== by) return write(state, back, by)
  return end(state, back, by)
}

/** Another server moves the rotation on from here. @throws StarlingError ROTATION_REFUSED where none is under way */
export function takeOverRotation(state: ClusterState, by: string): ClusterState {
  const rotation = rotationOf(state)
  if (rotation === undefined) throw refuse('no rotation is under way', 'there is nothing to go on with')
  return rotation.conductor === by ? state : write(state, { ...rotation, conductor: by }, by)
}

function firstStage({ nowMs, by }: RotationStart): Stage {
  return { stage: 'spread', back: false, startedMs: nowMs, stageMs: nowMs, conductor: by }
}

function refuseSecond(state: ClusterState): void {
  const rotation = rotationOf(state)
  if (rotation === undefined) return
  const what = rotation.kind === 'psk' ? 'the PSK' : 'the CA'
  throw refuse(`a rotation of ${what} is under way`, 'let it end, or break it off')
}

function write(state: ClusterState, rotation: Rotation, by: string): ClusterState {
  return withAuthority(state, { ...stageAuthority(rotation), rotation }, by)
}

function end(state: ClusterState, rotation: Rotation, by: string): ClusterState {
  const { retiredServerCaPem = '' } = state.authority
  if (rotation.kind === 'psk') {
    const keyring = rotation.back ? rotation.oldKeys : [rotation.newKey]
    return withAuthority(state, { keyring, rotation: undefined }, by)
  }
  const { old, next, crossSignedPem, back } = rotation
  if (back) return withAuthority(state, { ...old, rotation: undefined }, by)
  const retired = `${retiredServerCaPem}${old.serverCaPem}${crossSignedPem}`
  return withAuthority(state, { ...next, retiredServerCaPem: retired, rotation: undefined }, by)
}

/** What signs, sends and is accepted in a stage. */
function stageAuthority(rotation: Rotation): Partial<AuthorityEntry> {
  const switched = rotation.stage === 'switch'
  if (rotation.kind === 'psk') {
    const { oldKeys, newKey } = rotation
    return { keyring: switched ? [newKey, ...oldKeys] : [...oldKeys, newKey] }
  }
  const { old, next } = rotation
  const signing = switched ? next : old
  return {
    serverCa: signing.serverCa,
    clientCa: signing.clientCa,
    serverCaPem: `${old.serverCaPem}${next.serverCaPem}`,
    clientCaPem: `${old.clientCaPem}${next.clientCaPem}`,
  }
}

function withAuthority(state: ClusterState, change: Partial<AuthorityEntry>, by: string): ClusterState {
  const { state: next, stamp } = nextStamp(state, by)
  return { ...next, authority: { ...state.authority, ...change, stamp } }
}

/**
 * Those that could be left behind if the next stage began now: nodes that are there and have not said that they work with
 * `revision`, in the order of their names.
 * @param present names of members that are reachable, and of nodes that a server has heard from a moment ago
 */
export function lateNodes(
  present: Iterable<string>,
  acknowledged: Readonly<Record<string, { readonly revision: string }>>,
  revision: string,
): readonly string[] {
  const works = (name: string) =>
    Object.hasOwn(acknowledged, name) && acknowledged[name]?.revision === revision
  return [...new Set(present)].filter((name) => !works(name)).sort()
}

/** What `/cacerts` gives: with the roots of now those that older tokens pin, and what leads from them to the new ones. */
export function tokenBundle(authority: AuthorityEntry): string {
  const rotation = authority.rotation as Rotation | undefined
  const crossed = rotation?.kind === 'ca' ? rotation.crossSignedPem : ''
  return `${authority.serverCaPem}${crossed}${authority.retiredServerCaPem ?? ''}`
}
