import { randomInt } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { ClusterNode } from '../support/cluster/node-process.ts'
import {
  assertAgreed,
  drawRound,
  type RoundNodes,
  roundText,
  runKilledRound,
  startForRounds,
} from './rotation/killed-rounds.ts'

/** STARLING_SEED repeats a run; `npm run soak -- rotation-killed` makes many of them. */
const seed = Number(process.env.STARLING_SEED ?? randomInt(2 ** 31))

describe('a rotation in which a node is away or killed', () => {
  let cluster: RoundNodes
  before(async () => {
    cluster = await startForRounds(['a', 'b'])
  })
  after(() => cluster?.nodes[Symbol.asyncDispose]())

  it('(of the CA) lets an agent in again that was away all the time: its token does it, by itself', async () => {
    const { servers, agents } = cluster
    const [away, here] = agents as [ClusterNode, ClusterNode]
    await away.stop()
    await servers[0]?.cli('trust', 'rotate-ca')
    await assertAgreed(servers, [here])
    await away.start(60_000)
    await assertAgreed(servers, agents)
  })

  const kind = seed % 2 === 0 ? 'psk' : 'ca'
  it(`(${kind}) is gone on with or broken off, and all nodes agree (STARLING_SEED=${seed})`, async (test) => {
    const round = drawRound(seed, kind, cluster)
    test.diagnostic(roundText(round))
    await runKilledRound(round, cluster)
  })
})
