import { Counter, Gauge, type Registry } from 'prom-client'

/**
 * The metrics of the process under their usual names. They are read when somebody asks and cost nothing before: no timer and
 * no observer, as `collectDefaultMetrics` would start.
 */
export function registerProcessMetrics(registry: Registry): void {
  const gauge = (name: string, help: string, read: () => number) => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  }
  const startSeconds = Date.now() / 1000 - process.uptime()
  gauge('process_start_time_seconds', 'Start of the process, seconds since 1970', () => startSeconds)
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, all threads',
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage()
      this.reset()
      this.inc((user + system) / 1e6)
    },
  })
  gauge('process_resident_memory_bytes', 'Resident memory of the process', () => process.memoryUsage.rss())
  gauge('nodejs_heap_size_used_bytes', 'Used heap of the main thread', () => process.memoryUsage().heapUsed)
  gauge('nodejs_external_memory_bytes', 'Memory outside the heap', () => process.memoryUsage().external)
  gauge(
    'nodejs_active_resources',
    'Open handles and requests of the main thread',
    () => process.getActiveResourcesInfo().length,
  )
}
