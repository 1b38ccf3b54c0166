import { it } from 'node:test'
import { assertNothingLeft } from '../integration/transfer/nothing-left.ts'

it('200,000 requests of mixed fates leave nothing behind', { timeout: 1_800_000 }, (test) =>
  assertNothingLeft(200_000, (line) => test.diagnostic(line)),
)
