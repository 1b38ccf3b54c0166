import { openSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { eventually } from '../../support/eventually.ts'
import { endOwned, isRunning, startOwned } from '../../support/processes.ts'
import { findProgram } from '../../support/requirements.ts'

export interface NginxOptions {
  /** Folder for its configuration, log and temporary files. */
  readonly dir: string
  readonly address: string
  readonly tlsPort: number
  readonly clearPort?: number
  /** Credentials as `starling trust init` makes them. */
  readonly trustDir: string
  /** Serves the files of a folder, or passes requests on to another one over mutual TLS. */
  readonly from: { readonly folder: string } | { readonly upstream: string; readonly name: string }
}

export interface Nginx extends AsyncDisposable {
  readonly pid: number
}

export function hasNginx(): boolean {
  return findProgram('nginx') !== undefined
}

function locationOf({ from, trustDir }: NginxOptions): string {
  if ('folder' in from) return `root ${from.folder};`
  return `
      proxy_pass https://upstream;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
      proxy_buffers 8 256k;
      proxy_busy_buffers_size 512k;
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_verify on;
      proxy_ssl_name ${from.name};
      proxy_ssl_trusted_certificate ${trustDir}/server-ca.crt;
      proxy_ssl_certificate ${trustDir}/client.crt;
      proxy_ssl_certificate_key ${trustDir}/client.key;`
}

/** sendfile is off and the reads are as large as Starling's; otherwise as Debian ships it. */
function configuration(options: NginxOptions): string {
  const { dir, address, tlsPort, clearPort, trustDir } = options
  const location = `location / { ${locationOf(options)} }`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${dir}/${what};`,
  )
  // Without this each request would make a new connection.
  const upstream =
    'folder' in options.from
      ? ''
      : `upstream upstream { server ${new URL(options.from.upstream).host}; keepalive 128; keepalive_requests 1000000; }`
  const clear = clearPort === undefined ? '' : `server { listen ${address}:${clearPort}; ${location} }`
  return `
daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log warn;
events { worker_connections 256; }
http {
  access_log off;
  sendfile off;
  output_buffers 2 256k;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  ${temporary.join('\n  ')}
  ${upstream}
  server {
    listen ${address}:${tlsPort} ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate ${trustDir}/serving.crt;
    ssl_certificate_key ${trustDir}/serving.key;
    ssl_client_certificate ${trustDir}/client-ca.crt;
    ssl_verify_client on;
    ${location}
  }
  ${clear}
}
`
}

/** One nginx process until it is disposed. @throws Error with its log where it does not start */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const { dir, address, tlsPort } = options
  const program = findProgram('nginx')
  if (program === undefined) throw new Error('nginx is not installed')
  await mkdir(dir, { recursive: true })
  const file = join(dir, 'nginx.conf')
  await writeFile(file, configuration(options))
  const out = openSync(join(dir, 'error.log'), 'a')
  const child = startOwned(program, ['-p', dir, '-c', file, '-e', join(dir, 'error.log')], {
    stdio: ['ignore', out, out],
  })
  const accepts = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: address, port: tlsPort })
      socket.once('connect', () => resolve(socket.destroy() !== undefined))
      socket.once('error', () => resolve(false))
    })
  await eventually(async () => !isRunning(child) || (await accepts()), {
    what: 'nginx to accept connections',
  })
  if (!isRunning(child) || child.pid === undefined) {
    throw new Error(`nginx did not start: ${await readFile(join(dir, 'error.log'), 'utf8')}`)
  }
  return { pid: child.pid, [Symbol.asyncDispose]: () => endOwned(child) }
}
