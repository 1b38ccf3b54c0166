import { type ByteRange, parseRangeHeader } from '../core/byte-range.ts'
import type { Digest } from '../core/digest.ts'
import type { Candidate } from '../core/lookup.ts'
import { mediaTypes } from '../core/media-types.ts'
import { defaultStripes } from '../selection/stripe-layout.ts'
import { type WantedBytes, wholeBody } from '../selection/wanted-bytes.ts'
import { acceptRanges, beginBody, finishBody, unsatisfiable } from './blob-answer.ts'
import { applicableRange, isUnchanged, wantedBytes } from './conditional.ts'
import type { Exchange, Found, RegistryServices } from './exchange.ts'
import { followFlight } from './flights/follow-flight.ts'
import { serveGrowing } from './flights/serve-growing.ts'
import { sendLocalBlob } from './local-blob.ts'
import type { LocalBlob } from './local-store.ts'
import { askPeersForSize } from './peer-head.ts'
import { fromPeersReason, giverNames, nobodyGaveIt, sharesOf } from './reasons.ts'
import { redirected } from './redirect-blob.ts'
import { openLocal, peerPath } from './sources.ts'
import { type BodySink, runTransfer } from './transfer.ts'
import { startNoCheck } from './transfer-check.ts'

/** `GET|HEAD /v2/<name>/blobs/<digest>` (OCI distribution specification, "Pulling blobs"). */
export async function serveBlob(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  digest: Digest,
): Promise<void> {
  const found = await exchange.lookup(services, { kind: 'digest', repository: name, digest }, 'blob')
  if (found === undefined) return
  if (isUnchanged(exchange.headers['if-none-match'], digest)) {
    exchange.notModified(digest)
    return
  }
  if (exchange.request.head) {
    await headBlob(exchange, services, name, found)
    return
  }
  const header = applicableRange(exchange.headers.range, exchange.headers['if-range']?.toString(), digest)
  if (found.flight === 'serve') {
    await serveGrowing(exchange, services, found, header)
    return
  }
  if (found.flight === 'follow') {
    await followFlight(exchange, services, name, found, header)
    return
  }
  const blob = await openLocal(exchange, services, found)
  if (blob === undefined) {
    if (await redirected(exchange, services, name, found)) return
    await sendFromPeers(exchange, services, name, found, wantedBytes(header))
    return
  }
  try {
    await sendFromStore(exchange, services, name, found, blob, header)
  } finally {
    blob.close()
  }
}

async function headBlob(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
): Promise<void> {
  const { digest } = found
  const known = services.cache.descriptor(digest)
  if (known !== undefined) {
    exchange.source = 'memory'
    exchange.reason = 'its size is known'
    exchange.contentHead(digest, mediaTypes.octetStream, known.sizeBytes, acceptRanges)
    exchange.out.finish()
    return
  }
  const told = services.recentSizes.get(digest)
  if (told !== undefined) {
    exchange.source = 'memory'
    exchange.reason = 'its size was told a moment ago'
    exchange.contentHead(digest, mediaTypes.octetStream, told, acceptRanges)
    exchange.out.finish()
    return
  }
  const blob = await openLocal(exchange, services, found)
  if (blob !== undefined) {
    blob.close()
    services.recentSizes.put(digest, blob.sizeBytes)
    exchange.source = 'local'
    exchange.reason = 'from the local store'
    exchange.contentHead(digest, mediaTypes.octetStream, blob.sizeBytes, acceptRanges)
    exchange.out.finish()
    return
  }
  const { sizeBytes, attempts } = await askPeersForSize(
    {
      digest,
      path: peerPath('blobs', name, found),
      candidates: found.candidates,
      signal: exchange.out.signal,
    },
    services,
  )
  if (sizeBytes === undefined) {
    exchange.fail(nobodyGaveIt(found, attempts, 'BLOB_UNKNOWN'))
    return
  }
  services.recentSizes.put(digest, sizeBytes)
  exchange.source = 'peer'
  exchange.reason = fromPeersReason(found, attempts)
  exchange.peers = giverNames(attempts)
  exchange.contentHead(digest, mediaTypes.octetStream, sizeBytes, acceptRanges)
  exchange.out.finish()
}

async function sendFromStore(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
  blob: LocalBlob,
  header: string | undefined,
): Promise<void> {
  const { out } = exchange
  const asked = parseRangeHeader(header, blob.sizeBytes)
  if (asked === 'unsatisfiable') {
    unsatisfiable(exchange, blob.sizeBytes)
    return
  }
  const range: ByteRange = asked === 'whole' ? { start: 0, end: blob.sizeBytes - 1 } : asked
  exchange.source = 'local'
  exchange.reason = 'from the local store'
  const { reached, damaged } = await sendLocalBlob({
    digest: found.digest,
    blob,
    range,
    out,
    pool: services.pool,
    hot: services.hot,
    integrity: services.limits.transfer.verify === 'full' ? services.integrity : undefined,
    begin: () => beginBody(exchange, found.digest, blob.sizeBytes, range, asked !== 'whole'),
  })
  if (reached > range.end || out.signal.aborted) {
    finishBody(exchange)
    return
  }
  services.recentSizes.forget(found.digest)
  if (!damaged) services.control.missing(found.digest)
  exchange.reason = `the local store gave ${reached - range.start} bytes, ${damaged ? 'then damaged ones' : 'then nothing'}`
  if (out.headSent) {
    const wanted: WantedBytes = { kind: 'span', start: reached, end: range.end }
    await sendFromPeers(exchange, services, name, found, wanted, blob.sizeBytes)
  } else {
    await sendFromPeers(exchange, services, name, found, wantedBytes(header))
  }
}

/** `begunSizeBytes`: the client has a part of the body already, of a blob of this size. */
async function sendFromPeers(
  exchange: Exchange,
  services: RegistryServices,
  name: string,
  found: Found,
  wanted: WantedBytes | 'unsatisfiable',
  begunSizeBytes?: number,
): Promise<void> {
  const { out } = exchange
  const { digest } = found
  if (wanted === 'unsatisfiable') {
    unsatisfiable(exchange, services.cache.descriptor(digest)?.sizeBytes)
    return
  }
  const sink: BodySink = {
    begin: (body) => beginBody(exchange, digest, body.sizeBytes, body, wanted !== wholeBody),
    write: (chunk) => out.write(chunk),
    drained: () => out.drained(),
  }
  const { verify, stripeThresholdBytes, stripeWidth } = services.limits.transfer
  const result = await runTransfer(
    {
      digest,
      path: peerPath('blobs', name, found),
      wanted,
      candidates: found.candidates,
      stripes: { ...defaultStripes, thresholdBytes: stripeThresholdBytes, maxHolders: stripeWidth },
      lookAgain: () => lookAgain(services, name, found),
      maxSizeBytes: Number.MAX_SAFE_INTEGER,
      begunSizeBytes,
      signal: out.signal,
    },
    sink,
    verify === 'full' ? services : { ...services, startCheck: startNoCheck },
  )
  exchange.peers = giverNames(result.attempts)
  exchange.shares = sharesOf(result.attempts)
  if (result.outcome !== 'finished') services.recentSizes.forget(digest)
  if (result.verified && result.sizeBytes !== undefined) {
    services.cache.putDescriptor(digest, { sizeBytes: result.sizeBytes, manifestType: undefined })
  }
  if (out.headSent) {
    exchange.source = exchange.peers.length > 0 ? 'peer' : exchange.source
    exchange.reason = fromPeersReason(found, result.attempts)
    finishBody(exchange)
  } else if (result.outcome === 'unsatisfiable') unsatisfiable(exchange, result.sizeBytes)
  else exchange.fail(nobodyGaveIt(found, result.attempts, 'BLOB_UNKNOWN'))
}

/** The holders as they are now: some may have got the blob a moment ago. */
async function lookAgain(
  { control }: RegistryServices,
  repository: string,
  { registry, digest }: Found,
): Promise<readonly Candidate[]> {
  const target = { kind: 'digest', repository, digest } as const
  const answer = await control.lookup({ registry, target, fromPeer: false, fresh: true })
  return answer.found ? answer.candidates : []
}
