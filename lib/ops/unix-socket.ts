import { chmod, lstat, mkdir, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'
import { StarlingError, systemErrorCode } from '../core/errors.ts'

const probeTimeoutMs = 1000

type Occupant = 'nothing' | 'stale' | 'alive'

function socketFailed(path: string, message: string, hint: string, cause?: unknown): StarlingError {
  return new StarlingError('OPS_SOCKET_FAILED', `the ops socket ${path} ${message}`, { hint, cause })
}

async function occupantOf(path: string): Promise<Occupant> {
  const stat = await lstat(path).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (stat === undefined) return 'nothing'
  if (!stat.isSocket()) {
    throw socketFailed(path, 'is there already and is no socket', 'move it away or set ops.socket')
  }
  return new Promise((resolve, reject) => {
    const probe = connect({ path })
    const settle = (occupant: Occupant) => {
      probe.destroy()
      resolve(occupant)
    }
    probe.setTimeout(probeTimeoutMs, () => settle('alive'))
    probe.once('connect', () => settle('alive'))
    probe.once('error', (error) => {
      const code = systemErrorCode(error)
      if (code === 'ECONNREFUSED') settle('stale')
      else if (code === 'ENOENT') settle('nothing')
      else if (code === 'EAGAIN') settle('alive')
      else reject(error)
    })
  })
}

/**
 * Lets the server listen on a Unix socket that only its owner can use (0600). The socket of a process that is gone is
 * replaced; a folder that is missing is made with mode 0700.
 * @throws StarlingError OPS_SOCKET_FAILED
 */
export async function listenOnUnixSocket(server: Server, path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    const occupant = await occupantOf(path)
    if (occupant === 'alive') {
      throw socketFailed(path, 'is used by another process', 'stop the other node or set ops.socket')
    }
    if (occupant === 'stale') await unlink(path)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      // The socket is bound before listen returns, so that it never exists with other rights.
      const before = process.umask(0o177)
      try {
        server.listen({ path }, () => {
          server.off('error', reject)
          resolve()
        })
      } finally {
        process.umask(before)
      }
    })
    await chmod(path, 0o600)
  } catch (error) {
    if (error instanceof StarlingError) throw error
    const code = systemErrorCode(error) ?? String(error)
    const hints: Readonly<Record<string, string>> = {
      EACCES: 'run as root or set ops.socket to a place that this user may write',
      EROFS: 'set ops.socket to a place that can be written',
      ENOSPC: 'make room on that disk',
      EADDRINUSE: 'stop the other node or set ops.socket',
      ENOTDIR: 'a part of the path is not a folder, set ops.socket',
    }
    throw socketFailed(
      path,
      `cannot be opened (${code})`,
      hints[code] ?? 'set ops.socket to another path',
      error,
    )
  }
}
