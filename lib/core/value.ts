import type { Subscribable } from './ports.ts'

/** A value that can be followed; `set` tells every subscriber, also of a value that equals the old one. */
export interface Value<T> extends Subscribable<T> {
  set(value: T): void
}

export function createValue<T>(initial: T): Value<T> {
  let current = initial
  const listeners = new Set<(value: T) => void>()
  return {
    current: () => current,
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    set(value) {
      current = value
      for (const listener of [...listeners]) listener(value)
    },
  }
}
