import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { configDefaults } from '../../config/config-defaults.ts'
import type { KeyPair } from '../../core/credentials.ts'
import { describeError, StarlingError } from '../../core/errors.ts'
import { makeCertificateKey } from '../../trust/certificate-key.ts'
import { makeIdentityPem } from '../../trust/identity.ts'
import { writeFolder } from '../trust/folder.ts'
import { readTrustText } from '../trust/text.ts'

/** Versions of the trust folder; `trust` is a link to the one that counts. */
const versionsFolder = 'trust.d'
const { trustFiles: names, joinedTrustDir } = configDefaults

/** Keys that a node has made; they never leave it. */
export interface NodeKeys {
  readonly identityPem: string
  readonly servingKeyPem: string
  readonly clientKeyPem: string
}

/** All files of the trust folder. */
export interface NodeMaterial {
  readonly identityPem: string
  readonly serving: KeyPair
  readonly client: KeyPair
  readonly serverCaPem: string
  readonly clientCaPem: string
  /** Hex, the one to send with first. */
  readonly keyring: readonly string[]
  /** Text of the signed list of revoked nodes; empty where there is none. */
  readonly revocations: string
}

export function makeNodeKeys(): NodeKeys {
  return {
    identityPem: makeIdentityPem(),
    servingKeyPem: makeCertificateKey(),
    clientKeyPem: makeCertificateKey(),
  }
}

/** What the folder holds, unchecked; undefined where a file is missing. @throws StarlingError TRUST_FILE_UNSAFE */
export async function readMaterial(dataDir: string): Promise<NodeMaterial | undefined> {
  const read = async (name: string, secret: boolean): Promise<string> => {
    const file = join(dataDir, joinedTrustDir, name)
    return (await readTrustText(file, { what: 'a file of the trust folder', secret })).text
  }
  try {
    return {
      identityPem: await read(names.identity, true),
      serving: { certPem: await read(names.servingCert, false), keyPem: await read(names.servingKey, true) },
      client: { certPem: await read(names.clientCert, false), keyPem: await read(names.clientKey, true) },
      serverCaPem: await read(names.serverCa, false),
      clientCaPem: await read(names.clientCa, false),
      keyring: (await read(names.psk, true)).split('\n').filter((line) => line !== ''),
      revocations: await read(names.revocations, false).catch(() => ''),
    }
  } catch (error) {
    if (error instanceof StarlingError && error.code === 'TRUST_FILE_INVALID') return undefined
    throw error
  }
}

/**
 * Replaces the whole trust folder at once: it is written beside the old one, and then the link is exchanged, so that
 * nobody ever sees a certificate without its key. The version before it stays for who is just reading it.
 * @throws StarlingError DISK_FULL, TRUST_FILE_INVALID
 */
export async function writeMaterial(dataDir: string, material: NodeMaterial): Promise<void> {
  const versions = join(dataDir, versionsFolder)
  const link = join(dataDir, joinedTrustDir)
  const version = randomUUID()
  const before = await readlink(link).catch(() => '')
  try {
    await mkdir(versions, { recursive: true, mode: 0o700 })
    await writeFolder(versions, version, {
      [names.serverCa]: { text: material.serverCaPem, secret: false },
      [names.clientCa]: { text: material.clientCaPem, secret: false },
      [names.servingCert]: { text: material.serving.certPem, secret: false },
      [names.servingKey]: { text: material.serving.keyPem, secret: true },
      [names.clientCert]: { text: material.client.certPem, secret: false },
      [names.clientKey]: { text: material.client.keyPem, secret: true },
      ...(material.revocations === ''
        ? {}
        : { [names.revocations]: { text: material.revocations, secret: false } }),
      [names.psk]: { text: material.keyring.map((key) => `${key}\n`).join(''), secret: true },
      [names.identity]: { text: material.identityPem, secret: true },
    })
    const temporary = `${link}.${version}`
    await symlink(join(versionsFolder, version), temporary)
    await rename(temporary, link).catch(async (error) => {
      await rm(temporary, { force: true })
      throw error
    })
  } catch (cause) {
    if (cause instanceof StarlingError) throw cause
    throw new StarlingError(
      'TRUST_FILE_INVALID',
      `the trust folder cannot be replaced: ${describeError(cause)}`,
      {
        hint: 'a folder of this name that Starling did not make has to go',
        position: { file: link },
        cause,
      },
    )
  }
  for (const old of await readdir(versions)) {
    if (old === version || old === basename(before)) continue
    await rm(join(versions, old), { recursive: true, force: true })
  }
}
