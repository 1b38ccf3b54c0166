/** Times in milliseconds. */
export interface FlightSettings {
  /** What a claim may wait for its steward before the second choice is asked as well. */
  readonly claimBudgetMs: number
  /** What it may wait for both before the request goes upstream, while answers are slow or nothing is known of them. */
  readonly secondBudgetMs: number
  /** The same, while others are known to pull the same image. */
  readonly crowdBudgetMs: number
  /** For how much longer the answer of the first choice goes before that of the second, which would arrange a tree of its own. */
  readonly firstGraceMs: number
  /** The same, while others are known to pull the same image. */
  readonly crowdGraceMs: number
  /** For how long others are believed to pull the same image, after the last sign of it. */
  readonly crowdForMs: number
  /** How often who takes part in a flight says how far it is. */
  readonly wordIntervalMs: number
  /** A parent without a word for this long is lost. */
  readonly patienceMs: number
  /** A download that does not grow for this long is over, whatever its node says. */
  readonly ceilingMs: number
  /** A role whose download never appeared in the store ends after this time. */
  readonly absentMs: number
  /** A committed blob that no inventory names yet is given to others for this long. */
  readonly doneForMs: number
  /** So long a node that led with wrong bytes leads nobody. */
  readonly barMs: number
  /** Longest chain; larger flights are trees. */
  readonly maxChain: number
  /** Children of one parent, at most. */
  readonly maxFanout: number
  /** Flights that one steward keeps, and roles that one node has, at most. */
  readonly maxFlights: number
  /** Words a second that a steward wants to hear of one flight, about. */
  readonly maxWordsPerSecond: number
}

export const defaultFlightSettings: FlightSettings = {
  claimBudgetMs: 20,
  secondBudgetMs: 150,
  crowdBudgetMs: 1500,
  firstGraceMs: 80,
  crowdGraceMs: 300,
  crowdForMs: 30_000,
  wordIntervalMs: 500,
  patienceMs: 2000,
  ceilingMs: 20_000,
  absentMs: 5000,
  doneForMs: 60_000,
  barMs: 600_000,
  maxChain: 24,
  maxFanout: 4,
  maxFlights: 4096,
  maxWordsPerSecond: 500,
}

/** How long a participant whose words come every `intervalMs` may be silent. */
export function silenceMs(settings: FlightSettings, intervalMs: number): number {
  return settings.patienceMs + 2 * intervalMs
}
