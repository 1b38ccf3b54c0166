import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { onEarlyExit, runToEnd } from '../processes.ts'
import { findProgram, isRoot } from '../requirements.ts'

/** Debian packages that the integration tests use, each with the program that shows that it is there. */
const packages: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  runc: 'runc',
  skopeo: 'skopeo',
  umoci: 'umoci',
  'docker-registry': 'docker-registry',
  iproute2: 'ip',
  nftables: 'nft',
  'nginx-light': 'nginx',
  'kubernetes-client': 'kubectl',
}

const policyPath = '/usr/sbin/policy-rc.d'

function isDebian(): boolean {
  try {
    const release = readFileSync('/etc/os-release', 'utf8')
    return /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(release)
  } catch {
    return false
  }
}

/**
 * Debian starts services when it installs them; a policy script forbids it (Debian Policy, invoke-rc.d). What was
 * there before comes back afterwards.
 */
async function withoutServiceStarts<T>(work: () => Promise<T>): Promise<T> {
  const kept = `${policyPath}.starling-kept`
  const hadPolicy = existsSync(policyPath)
  if (hadPolicy) renameSync(policyPath, kept)
  const restore = () => {
    if (hadPolicy) renameSync(kept, policyPath)
    else rmSync(policyPath, { force: true })
  }
  const forget = onEarlyExit(restore)
  try {
    writeFileSync(policyPath, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
    return await work()
  } finally {
    forget()
    restore()
  }
}

/**
 * Installs what the tests need and is missing, where this is root on Debian or Ubuntu; otherwise says what is missing.
 * Tests whose programs are missing are skipped by name, so a failed installation is not an error here.
 */
export async function installMissingPackages(say: (line: string) => void): Promise<void> {
  const missing = Object.keys(packages).filter((name) => findProgram(packages[name] ?? name) === undefined)
  if (missing.length === 0) return
  if (!isRoot() || !isDebian() || findProgram('apt-get') === undefined) {
    say(
      `Missing: ${missing.join(' ')}. Tests that need them are skipped (root on Debian or Ubuntu installs them).`,
    )
    return
  }
  say(`Installing what the tests need: ${missing.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const aptGet = (...args: string[]) => runToEnd('apt-get', args, { env, timeoutMs: 5 * 60_000 })
  await withoutServiceStarts(async () => {
    const update = await aptGet('-q', 'update')
    if (update.code !== 0) say(`apt-get update failed: ${update.stderr.trim()}`)
    const install = await aptGet('-q', '-y', '--no-install-recommends', 'install', ...missing)
    if (install.code !== 0)
      say(`apt-get install failed, tests that need it are skipped: ${install.stderr.trim()}`)
  })
}
