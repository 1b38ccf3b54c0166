import { randomInt } from 'node:crypto'
import { it } from 'node:test'
import {
  drawRound,
  roundText,
  runKilledRound,
  startForRounds,
} from '../integration/rotation/killed-rounds.ts'

/** STARLING_SEED repeats a run, STARLING_ROUNDS makes it longer or shorter. */
const seed = Number(process.env.STARLING_SEED ?? randomInt(2 ** 31))
const rounds = Number(process.env.STARLING_ROUNDS ?? 60)

it(`${rounds} rotations, in each of which a node is killed, end with nodes that agree (STARLING_SEED=${seed})`, {
  timeout: 3_600_000,
}, async (test) => {
  const cluster = await startForRounds(['a', 'b', 'c'])
  test.after(() => cluster.nodes[Symbol.asyncDispose]())
  for (let number = 0; number < rounds; number++) {
    const round = drawRound(seed + number, number % 2 === 0 ? 'psk' : 'ca', cluster)
    test.diagnostic(`${number + 1}: ${roundText(round)}`)
    await runKilledRound(round, cluster)
  }
})
