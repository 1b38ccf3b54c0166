import type { JoinConfig } from '../../core/config.ts'
import type { Revocation } from '../../core/credentials.ts'
import { StarlingError } from '../../core/errors.ts'
import type { Logger, Rng } from '../../core/ports.ts'
import { shuffled } from '../../core/shuffled.ts'
import type { JoinAnswer, WatchAnswer } from '../../supervisor/api.ts'
import { createSupervisorClient, type SupervisorClient } from '../../supervisor/client.ts'
import { tokenSecret } from '../../trust/join-token.ts'
import type { ClusterLink, LinkCredentials } from './cluster-link.ts'
import { anchorsFor } from './pinning.ts'
import { readJoinToken } from './token-file.ts'

const watchTimeoutMs = 40_000

/** The servers over the network: the one that answered last is asked first, then the others in random order. */
export function createRemoteLink(options: {
  readonly join: JoinConfig
  readonly rng: Rng
  readonly log: Logger
}): ClusterLink {
  const { join, rng, log } = options
  let known: readonly string[] = []
  let follows: string | undefined
  let credentials: LinkCredentials | undefined
  let revocations: readonly Revocation[] = []
  let client: { readonly url: string; readonly of: SupervisorClient } | undefined

  function targets(): readonly string[] {
    const others = [...new Set([...known, join.server])].filter((url) => url !== follows)
    return [...(follows === undefined ? [] : [follows]), ...shuffled(others, rng)]
  }

  function forget(): void {
    client?.of.close()
    client = undefined
  }

  function clientOf(url: string): SupervisorClient {
    if (credentials === undefined) throw new StarlingError('INTERNAL', 'the node has not joined yet')
    if (client?.url !== url) {
      forget()
      const { serverCaPem, client: shown } = credentials
      client = {
        url,
        of: createSupervisorClient({ url, anchors: [serverCaPem], client: shown, revocations }),
      }
    }
    return client.of
  }

  /** Asks one server after the other until one answers; what all of them refuse is the error of the last. */
  async function ask<T>(signal: AbortSignal, act: (url: string) => Promise<T>): Promise<T> {
    let last: unknown
    for (const url of targets()) {
      try {
        const answer = await act(url)
        follows = url
        return answer
      } catch (error) {
        if (follows === url) follows = undefined
        forget()
        last = error
        if (signal.aborted) break
      }
    }
    throw last
  }

  return {
    join: (request, signal) =>
      ask(signal, async (url) => {
        const token = await readJoinToken(join)
        if (token === undefined) {
          throw new StarlingError('TOKEN_INVALID', 'a node that joins needs a token', {
            hint: 'set tokenFile to a file with a token of: starling token create',
          })
        }
        const anchors = await anchorsFor(url, token, { log, signal })
        const stranger = createSupervisorClient({ url, anchors, revocations })
        try {
          const body = { ...request, token: tokenSecret(token) }
          return await stranger.call<JoinAnswer>('POST', '/v1/join', { body, signal })
        } finally {
          stranger.close()
        }
      }),
    renew: (request, signal) =>
      ask(signal, (url) => clientOf(url).call<JoinAnswer>('POST', '/v1/renew', { body: request, signal })),
    watch: ({ seen, applied }, signal) =>
      ask(signal, (url) => {
        const query = new URLSearchParams()
        // A server that is new to us answers at once, so that we know that it does.
        if (seen !== undefined && url === follows) query.set('seen', seen)
        if (applied !== undefined) query.set('applied', applied)
        const options = { signal, timeoutMs: watchTimeoutMs }
        return clientOf(url).call<WatchAnswer>('GET', `/v1/watch?${query}`, options)
      }),
    follows: () => follows,
    learn(urls) {
      known = urls
    },
    use(next) {
      credentials = next
      forget()
    },
    refuse(next) {
      if (next.length === revocations.length) return
      revocations = next
      forget()
    },
    close: forget,
  }
}
