import type { ImportProgress } from '../archive/import-archive.ts'
import { formatSize } from '../core/units.ts'

/** `63.9 MiB of 1.2 GiB, 3 images, 120 MiB/s` */
export function progressText(
  { readBytes, totalBytes, images }: ImportProgress,
  bytesPerSecond: number,
): string {
  return [
    `${formatSize(readBytes)} of ${formatSize(totalBytes)}`,
    ...(images === undefined ? [] : [`${images} ${images === 1 ? 'image' : 'images'}`]),
    `${formatSize(Math.round(bytesPerSecond))}/s`,
  ].join(', ')
}

/** A line on a terminal that is written over; nothing elsewhere. */
export function createProgressLine(what: string) {
  const terminal = process.stderr.isTTY
  const startedMs = performance.now()
  return {
    show(progress: ImportProgress): void {
      if (!terminal) return
      const rate = progress.readBytes / Math.max(0.001, (performance.now() - startedMs) / 1000)
      process.stderr.write(`\r\u001b[K${what}: ${progressText(progress, rate)}`)
    },
    end(): void {
      if (terminal) process.stderr.write('\r\u001b[K')
    },
  }
}
