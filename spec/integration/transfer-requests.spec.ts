import { it } from 'node:test'
import { assertNothingLeft } from './transfer/nothing-left.ts'

it('10,000 requests of mixed fates leave no file, no socket, no timer and no memory behind', (test) =>
  assertNothingLeft(10_000, (line) => test.diagnostic(line)))
