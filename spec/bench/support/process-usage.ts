import { readFileSync, writeFileSync } from 'node:fs'

/** Linux counts processor time for user space in hundredths of a second on every architecture (`USER_HZ`). */
const ticksPerSecond = 100

/** The fields of /proc/PID/stat (proc(5)) from the third on; the second, a name, may hold spaces. */
function statFields(pid: number | 'self'): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/** Processor time of a process with all its threads, user and system, in seconds; steps of 10 ms. */
export function cpuSeconds(pid: number): number {
  const fields = statFields(pid)
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** Processor time of the children of this process that have ended, in seconds. */
export function endedChildrenCpuSeconds(): number {
  const fields = statFields('self')
  return (Number(fields[13]) + Number(fields[14])) / ticksPerSecond
}

/** Bytes in RAM: now (`VmRSS`), or at most since `resetPeak` (`VmHWM`). */
export function residentBytes(pid: number, which: 'VmRSS' | 'VmHWM'): number {
  const line = new RegExp(`^${which}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1] ?? Number.NaN) * 1024
}

export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}
