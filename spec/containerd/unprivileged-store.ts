/**
 * Run by a test as a user without rights: states what a store on the socket says, then reads an image's manifest.
 * Arguments: socket, content folder.
 */
import { createHash } from 'node:crypto'
import { createContainerdStore } from '../../lib/containerd/store.ts'
import { quietPorts, Recording, readAll } from '../support/store-testing.ts'

const [socket = '', contentPath = ''] = process.argv.slice(2)
const ports = quietPorts()
const say = (fields: object, message: string): void => console.log(message, JSON.stringify(fields))
const log = { ...ports.log, info: say, warn: say }
const store = createContainerdStore({ ...ports, socket, contentPath, namespaces: ['k8s.io'], log })
const told = new Recording()
await store.start(async (change) => {
  told.hear(change)
  const target = told.target('registry.test/x:1')
  if (target === undefined) return
  const bytes = await readAll(store.reader(), target)
  const right = bytes !== undefined && `sha256:${createHash('sha256').update(bytes).digest('hex')}` === target
  console.log(
    `read ${bytes?.length} bytes of registry.test/x:1 over gRPC, digest ${right ? 'right' : 'wrong'}`,
  )
})
