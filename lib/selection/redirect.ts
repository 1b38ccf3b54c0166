import type { TransferConfig } from '../core/config.ts'

/** Who was not heard from for longer may be gone: a client waits long for a host that does not answer. */
const maxSilenceMs = 2000
/** With `auto` smaller blobs are passed on: a connection to another host costs more than it saves. */
const minAutoSizeBytes = 16 * 2 ** 20

/** A request for a blob that other nodes hold. */
export interface RedirectQuestion {
  readonly mode: TransferConfig['mode']
  readonly userAgent: string | undefined
  /** It asks for a part: the client goes on after a break, or reads in parts, and is not sent away. */
  readonly ranged: boolean
  /** Where it is known, as from a manifest that named the blob. */
  readonly sizeBytes: number | undefined
  /** In the order in which they should be asked. */
  readonly holders: readonly RedirectTarget[]
}

export interface RedirectTarget {
  /** It has all of the blob. */
  readonly complete: boolean
  /** Milliseconds since it was heard from; undefined: not lately. */
  readonly heardAgoMs: number | undefined
  /** The address for which its certificate is known to be valid; undefined where none is. */
  readonly address: string | undefined
}

/** Index of the holder and its address, or why the bytes go through this node. */
export type RedirectVerdict =
  | { readonly holder: number; readonly address: string }
  | { readonly proxied: 'mode' | 'ranged' | 'client' | 'size' | 'holders' }

/**
 * May containerd be sent to a holder (DESIGN §6)? Only a client that gives up on a silent host soon and comes back here with a
 * `Range` when the body breaks: containerd from 2.1 on honours `dial_timeout`.
 */
export function chooseRedirect(question: RedirectQuestion): RedirectVerdict {
  const { mode, ranged, sizeBytes, holders } = question
  if (mode === 'proxy') return { proxied: 'mode' }
  if (ranged) return { proxied: 'ranged' }
  if (!honoursDialTimeout(question.userAgent)) return { proxied: 'client' }
  if (mode === 'auto' && (sizeBytes ?? 0) < minAutoSizeBytes) return { proxied: 'size' }
  for (const [holder, { complete, heardAgoMs, address }] of holders.entries()) {
    if (complete && address !== undefined && heardAgoMs !== undefined && heardAgoMs <= maxSilenceMs) {
      return { holder, address }
    }
  }
  return { proxied: 'holders' }
}

function honoursDialTimeout(userAgent: string | undefined): boolean {
  const match = /^containerd\/v?(\d{1,4})\.(\d{1,4})\b/.exec(userAgent ?? '')
  if (match === null) return false
  const [major, minor] = [Number(match[1]), Number(match[2])]
  return major > 2 || (major === 2 && minor >= 1)
}
