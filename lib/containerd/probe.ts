import { lstat } from 'node:fs/promises'
import { connect } from 'node:net'
import { StarlingError, systemErrorCode } from '../core/errors.ts'
import type { ContainerdClient } from './client.ts'

/**
 * Checks that something listens on the socket. gRPC gives one answer for all that can be wrong; this names it.
 * @throws StarlingError STORE_UNAVAILABLE
 */
export async function probeSocket(socket: string): Promise<void> {
  try {
    const stats = await lstat(socket)
    if (stats.isFile() || stats.isDirectory()) throw unavailable(`${socket} is not a socket`)
    await dial(socket)
  } catch (error) {
    if (error instanceof StarlingError) throw error
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw unavailable(`${socket} does not exist`, 'is containerd running?')
    if (code === 'EACCES')
      throw unavailable(`permission denied on ${socket}`, 'run as root or as a group that may use it')
    if (code === 'ECONNREFUSED') throw unavailable(`nothing listens on ${socket}`, 'is containerd running?')
    throw unavailable(`${socket}: ${code ?? String(error)}`)
  }
}

/** The version of the containerd behind the client. @throws StarlingError STORE_UNAVAILABLE */
export async function probeVersion(client: ContainerdClient, socket: string): Promise<string> {
  let version: string
  try {
    version = await client.version()
  } catch (error) {
    const reason = error instanceof StarlingError ? error.message : String(error)
    throw unavailable(
      `${socket} does not answer like a containerd: ${reason}`,
      'is it the right socket?',
      error,
    )
  }
  if (version === '') throw unavailable(`${socket} does not answer like a containerd: it has no version`)
  return version.slice(0, 64)
}

function dial(socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket)
    connection.setTimeout(5000, () =>
      connection.destroy(new StarlingError('STORE_UNAVAILABLE', `${socket} accepts no connection`)),
    )
    connection.on('connect', () => {
      connection.destroy()
      resolve()
    })
    connection.on('error', reject)
  })
}

function unavailable(message: string, hint?: string, cause?: unknown): StarlingError {
  return new StarlingError('STORE_UNAVAILABLE', message, { hint, cause })
}
