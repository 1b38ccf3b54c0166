import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseDigest } from '../../../lib/core/digest.ts'
import type { ClusterNode } from '../cluster/node-process.ts'
import { containerdAvailable, startContainerd, type TestContainerd } from '../containerd.ts'
import { writeOciArchive } from '../oci-files.ts'
import { onEarlyExit, runOrFail } from '../processes.ts'
import { starlingBin } from '../project.ts'
import type { DemoStores } from './stores.ts'

/** Real containerds, one for each node, each with its own root, state and socket. @throws Error where there is none */
export function containerdStores(): DemoStores {
  const problem = containerdAvailable()
  if (problem !== undefined) throw new Error(`--containerd: ${problem}`)
  const containerds = new Map<string, TestContainerd>()
  const forget = onEarlyExit(() => {
    for (const containerd of containerds.values()) {
      const pid = containerd.pid()
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
    }
  })
  const containerdOf = (node: ClusterNode): TestContainerd => {
    const containerd = containerds.get(node.name)
    if (containerd === undefined) throw new Error(`${node.name} has no containerd`)
    return containerd
  }
  return {
    kind: 'three real containerds',
    async configFor(place) {
      const containerd = await startContainerd({
        dir: join(place.dir, 'containerd'),
        certsDir: join(place.dir, 'certs.d'),
      })
      containerds.set(place.name, containerd)
      return { type: 'containerd', socket: containerd.socket, namespaces: ['k8s.io'] }
    },
    async add(node, { name, image }) {
      const archive = join(node.dir, 'image.tar')
      await writeOciArchive(archive, [{ name, image }])
      const visibleMs = performance.now()
      await containerdOf(node).ctr('images', 'import', '--no-unpack', '--all-platforms', archive)
      await rm(archive)
      return visibleMs
    },
    async pull(node, { name, sizeBytes }) {
      await runOrFail(process.execPath, [starlingBin, 'configure', '--config', node.configFile])
      const startedMs = performance.now()
      await containerdOf(node).pull(name)
      const durationMs = performance.now() - startedMs
      const listed = await containerdOf(node).ctr('images', 'list', `name==${name}`)
      const digest = parseDigest(/sha256:[0-9a-f]{64}/.exec(listed)?.[0] ?? '')
      const detail = 'ctr images pull, with the hosts.toml that starling configure wrote'
      return { bytes: sizeBytes, durationMs, detail, digest }
    },
    hints: (node, { name }) => [
      `ctr --address ${containerdOf(node).socket} -n k8s.io images list`,
      `ctr --address ${containerdOf(node).socket} -n k8s.io images pull --hosts-dir ${node.dir}/certs.d --snapshotter native ${name}`,
    ],
    async [Symbol.asyncDispose]() {
      forget()
      await Promise.all([...containerds.values()].map((containerd) => containerd.kill()))
    },
  }
}
