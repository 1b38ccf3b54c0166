/** What a spoiling front does with each body. */
export const faults = [
  'answers 500',
  'answers a wrong length',
  'closes after some bytes',
  'sends 10 KB a second',
] as const

export type Fault = (typeof faults)[number]

/** `spoiled` for each body, `ready` once. */
export type FrontReport = { readonly spoiled: Fault } | { readonly ready: true }

export const closesAfterBytes = 1_000_000
export const crawlBytesPerSecond = 10_000
