import assert from 'node:assert/strict'
import { createCipheriv, createHash } from 'node:crypto'
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ArchiveFile } from '../../lib/archive/archive-file.ts'
import { unpackArchive } from '../../lib/archive/unpack.ts'
import { StarlingError } from '../../lib/core/errors.ts'
import { runOrFail } from '../support/processes.ts'
import { skipWithout } from '../support/requirements.ts'
import { tempFolder } from '../support/temp-folder.ts'

const tools: readonly (readonly [ending: string, command: readonly string[]])[] = [
  ['.gz', ['gzip', '-k']],
  ['.zst', ['zstd', '-q']],
  ['.zst', ['pzstd', '-q']],
  ['.bz2', ['bzip2', '-k']],
  ['.lz4', ['lz4', '-q', '-BX', '--content-size']],
  ['.lz4', ['lz4', '-q', '-BD', '-B4']],
]

/** A tar header is all that is looked for; behind it noise, text and zeros, some 1.4 MB. */
function content(): Buffer {
  const head = Buffer.alloc(512)
  head.write('ustar', 257)
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  const noise = cipher.update(Buffer.alloc(400_000))
  return Buffer.concat([head, noise, Buffer.from('starling '.repeat(40_000)), Buffer.alloc(700_000), noise])
}

async function unpack(path: string): Promise<string> {
  await using file = await ArchiveFile.open(path)
  const hash = createHash('sha256')
  for await (const piece of unpackArchive(file)) hash.update(piece)
  assert.equal(
    await file.finish(),
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
  )
  return hash.digest('hex')
}

const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof StarlingError && error.code === 'ARCHIVE_INVALID' && pattern.test(error.format())

describe('unpacking archives', () => {
  for (const [ending, [program = '', ...flags]] of tools) {
    const title = [program, ...flags].join(' ')
    it(`${title}: the bytes come out, of two streams in a row too`, {
      skip: skipWithout(program),
    }, async () => {
      await using folder = await tempFolder('unpack')
      const plain = join(folder.path, 'a.tar')
      const bytes = content()
      await writeFile(plain, bytes)
      await runOrFail(program, [...flags, plain, ...(program === 'lz4' ? [`${plain}.lz4`] : [])])
      const packed = `${plain}${ending}`
      assert.equal(await unpack(packed), createHash('sha256').update(bytes).digest('hex'))
      await appendFile(packed, await readFile(packed))
      assert.equal(await unpack(packed), createHash('sha256').update(bytes).update(bytes).digest('hex'))
    })

    it(`${title}: truncated or damaged data is an error that names the byte`, {
      skip: skipWithout(program),
    }, async () => {
      await using folder = await tempFolder('unpack')
      const plain = join(folder.path, 'a.tar')
      await writeFile(plain, content())
      await runOrFail(program, [...flags, plain, ...(program === 'lz4' ? [`${plain}.lz4`] : [])])
      const packed = `${plain}${ending}`
      const whole = await readFile(packed)
      const damaged = Buffer.from(whole)
      damaged[Math.floor(damaged.length / 2)] = (damaged[Math.floor(damaged.length / 2)] ?? 0) ^ 0x55
      await writeFile(packed, damaged)
      await assert.rejects(unpack(packed), refused(/cannot be unpacked: .*byte \d+/))
      await writeFile(packed, whole)
      for (const size of [whole.length - 1, Math.floor(whole.length / 2), 20]) {
        await truncate(packed, size)
        await assert.rejects(unpack(packed), refused(/truncated.*byte \d+/), `${size} bytes`)
      }
    })
  }

  it('a picture is no archive, whatever its name', async () => {
    await using folder = await tempFolder('unpack')
    const path = join(folder.path, 'a.tar.zst')
    await writeFile(path, Buffer.from('ffd8ffe000104a46494600010100000100010000', 'hex'))
    await assert.rejects(unpack(path), refused(/no tar archive and no zstd data/))
  })

  it('an empty file, a folder and a file that is not there are named', async () => {
    await using folder = await tempFolder('unpack')
    const path = join(folder.path, 'a.tar')
    await assert.rejects(unpack(path), refused(/no such file/))
    await writeFile(path, '')
    await assert.rejects(unpack(path), refused(/is empty/))
    await assert.rejects(unpack(folder.path), refused(/plain file/))
  })

  it('data that swells without end is given up', { skip: skipWithout('zstd') }, async () => {
    await using folder = await tempFolder('unpack')
    const path = join(folder.path, 'a.tar')
    const head = Buffer.alloc(512)
    head.write('ustar', 257)
    await writeFile(path, head)
    await truncate(path, 2 ** 30 + 2 ** 22)
    await runOrFail('zstd', ['-q', '-1', path])
    await assert.rejects(unpack(`${path}.zst`), refused(/swells/))
  })
})
