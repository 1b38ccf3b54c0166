import { scrypt, timingSafeEqual } from 'node:crypto'

/** A secret as it is kept: scrypt (RFC 7914) with N 2^14, r 8, p 1; all as hex. */
export interface SecretHash {
  readonly salt: string
  readonly hash: string
}

export const saltSizeBytes = 16
const hashSizeBytes = 32
const cost = { N: 2 ** 14, r: 8, p: 1 } as const
/** Compared with where there is no entry, so that its absence takes as long as a wrong secret. */
const nobody: SecretHash = { salt: '00'.repeat(saltSizeBytes), hash: '00'.repeat(hashSizeBytes) }

/** Takes about 50 ms of a thread of libuv's pool and 16 MiB; callers see to it that few run at once. */
export async function hashSecret(secret: string, salt: Uint8Array): Promise<SecretHash> {
  const derived = await derive(secret, salt)
  return { salt: Buffer.from(salt).toString('hex'), hash: derived.toString('hex') }
}

/** Is this the secret? In constant time, and in the same time where `kept` is undefined (then false). */
export async function verifySecret(secret: string, kept: SecretHash | undefined): Promise<boolean> {
  const { salt, hash } = kept ?? nobody
  const derived = await derive(secret, Buffer.from(salt, 'hex'))
  const expected = Buffer.from(hash, 'hex')
  const equal = expected.length === hashSizeBytes && timingSafeEqual(derived, expected)
  return equal && kept !== undefined
}

function derive(secret: string, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, hashSizeBytes, cost, (error, key) => (error === null ? resolve(key) : reject(error)))
  })
}
