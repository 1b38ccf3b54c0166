import type { FlowConfig, TransferConfig } from '../core/config.ts'
import { formatDuration, formatExactSize, parseDurationMs, parseSizeBytes } from '../core/units.ts'
import { configDefaults } from './config-defaults.ts'
import { parseRateBytes } from './formats.ts'
import { choice, duration, integer, type Schema, section, text } from './schema-parts.ts'

interface FlowDocument {
  readonly rate?: string
  readonly ratePerPeer?: string
  readonly atOnce?: number
  readonly atOncePerPeer?: number
}

/** `transfer:` of config.yaml. */
export interface TransferDocument {
  readonly mode?: TransferConfig['mode']
  readonly verify?: TransferConfig['verify']
  readonly quarantine?: string
  readonly stallTimeout?: string
  readonly stripeThreshold?: string
  readonly stripeWidth?: number
  readonly upload?: FlowDocument
  readonly download?: FlowDocument
}

const defaults = configDefaults.transfer

function flow(description: string, key: 'upload' | 'download'): Schema {
  const { rate, ratePerPeer, atOnce, atOncePerPeer } = defaults[key]
  return section(description, {
    rate: text('starling-rate', 'Bytes a second in all', '50MiB/s', { default: rate }),
    ratePerPeer: text('starling-rate', 'Bytes a second for each peer', '20MiB/s', { default: ratePerPeer }),
    atOnce: integer('Requests at once', atOnce, 1, 4096),
    atOncePerPeer: integer('Requests at once for each peer', atOncePerPeer, 1, 4096),
  })
}

export const transferSection = section('How blobs go from node to node', {
  mode: choice(
    'Through this node (proxy), by sending containerd to the holder (redirect), or by size and client (auto)',
    ['proxy', 'redirect', 'auto'],
    defaults.mode,
  ),
  verify: choice(
    'Check the bytes of blobs before they leave and when they come; off trusts every node and disk',
    ['full', 'off'],
    defaults.verify,
  ),
  quarantine: duration(
    'How long nothing is taken from a peer that sent wrong bytes; twice as long each time it comes to that again, up to a day',
    defaults.quarantine,
    '1s',
    '30d',
  ),
  stallTimeout: text('starling-duration', 'The same as registry.stallTimeout', '2s', {
    minDuration: '100ms',
    maxDuration: '5m',
  }),
  stripeThreshold: text('starling-size', 'Larger blobs come from several holders at once', '8MiB', {
    default: defaults.stripeThreshold,
  }),
  stripeWidth: integer('How many holders give one blob at once', defaults.stripeWidth, 1, 16),
  upload: flow('Bounds of what peers get from this node; further ones go elsewhere or come back', 'upload'),
  download: flow('Bounds of what this node gets from peers', 'download'),
})

export function normaliseTransfer(document: TransferDocument = {}): TransferConfig {
  return {
    mode: document.mode ?? defaults.mode,
    verify: document.verify ?? defaults.verify,
    quarantineMs: parseDurationMs(document.quarantine ?? defaults.quarantine) ?? 0,
    stripeThresholdBytes: parseSizeBytes(document.stripeThreshold ?? defaults.stripeThreshold) ?? 0,
    stripeWidth: document.stripeWidth ?? defaults.stripeWidth,
    upload: normaliseFlow(document.upload, 'upload'),
    download: normaliseFlow(document.download, 'download'),
  }
}

function normaliseFlow(document: FlowDocument = {}, key: 'upload' | 'download'): FlowConfig {
  const rate = (text: string): number => parseRateBytes(text) ?? Number.POSITIVE_INFINITY
  return {
    bytesPerSecond: rate(document.rate ?? defaults[key].rate),
    bytesPerSecondPerPeer: rate(document.ratePerPeer ?? defaults[key].ratePerPeer),
    atOnce: document.atOnce ?? defaults[key].atOnce,
    atOncePerPeer: document.atOncePerPeer ?? defaults[key].atOncePerPeer,
  }
}

/** What `normaliseTransfer` reads back to the same. */
export function renderTransfer(config: TransferConfig = normaliseTransfer()): TransferDocument {
  return {
    mode: config.mode,
    verify: config.verify,
    quarantine: formatDuration(config.quarantineMs),
    stripeThreshold: formatExactSize(config.stripeThresholdBytes),
    stripeWidth: config.stripeWidth,
    upload: renderFlow(config.upload),
    download: renderFlow(config.download),
  }
}

function renderFlow(flow: FlowConfig): FlowDocument {
  const rate = (bytes: number): string =>
    bytes === Number.POSITIVE_INFINITY ? 'unlimited' : `${formatExactSize(bytes)}/s`
  return {
    rate: rate(flow.bytesPerSecond),
    ratePerPeer: rate(flow.bytesPerSecondPerPeer),
    atOnce: flow.atOnce,
    atOncePerPeer: flow.atOncePerPeer,
  }
}
