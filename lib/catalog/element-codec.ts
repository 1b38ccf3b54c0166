import { digestFromBytes, digestToBytes } from '../core/digest.ts'
import { StarlingError } from '../core/errors.ts'
import { isRepository, isTag } from '../core/reference.ts'
import { type FieldWriter, readFields } from '../core/wire.ts'
import { keySizeBytes, type TagPair } from './elements.ts'

export function writeTagPair(writer: FieldWriter, pair: TagPair): void {
  writer.string(1, pair.repository).string(2, pair.tag).bytes(3, digestToBytes(pair.digest))
}

/** @throws StarlingError WIRE_MALFORMED unless repository, tag and digest are what they should be */
export function readTagPair(bytes: Uint8Array): TagPair {
  let repository = ''
  let tag = ''
  let digest: Uint8Array | undefined
  readFields(bytes, (field) => {
    if (field.number === 1) repository = field.string(255)
    else if (field.number === 2) tag = field.string(128)
    else if (field.number === 3) digest = field.fixedBytes(keySizeBytes)
  })
  if (digest === undefined || !isRepository(repository) || !isTag(tag)) {
    throw new StarlingError('WIRE_MALFORMED', 'a tag pair is incomplete or malformed')
  }
  return { repository, tag, digest: digestFromBytes(digest) }
}

/** Most bytes of a pair on the wire, its field header included. */
export function tagPairSizeBytes(pair: TagPair): number {
  return pair.repository.length + pair.tag.length + keySizeBytes + 16
}

/** @throws StarlingError WIRE_MALFORMED where the bytes are not whole keys */
export function checkPacked(keys: Uint8Array): Uint8Array {
  if (keys.length % keySizeBytes === 0) return keys
  throw new StarlingError('WIRE_MALFORMED', `packed keys take ${keys.length} bytes`)
}
