/** The parts that are used of packages that ship no types. */
declare module 'tar-stream' {
  import type { Readable, Writable } from 'node:stream'

  export type TarType =
    | 'file'
    | 'contiguous-file'
    | 'link'
    | 'symlink'
    | 'character-device'
    | 'block-device'
    | 'directory'
    | 'fifo'

  export interface TarHeader {
    name: string
    size?: number
    mode?: number
    mtime?: Date
    type?: TarType | null
    linkname?: string | null
    byteOffset?: number
  }

  export interface TarEntry {
    write(bytes: Uint8Array): boolean
    end(): void
    once(event: 'drain' | 'close', listener: () => void): this
    on(event: 'error', listener: (error: Error) => void): this
  }

  export interface TarPack extends AsyncIterable<Uint8Array> {
    entry(header: TarHeader, done: (error?: Error | null) => void): TarEntry
    finalize(): void
    destroy(error?: Error): void
  }

  export type TarSource = Readable & { readonly header: TarHeader }

  export type TarExtract = Writable & AsyncIterable<TarSource>

  export function pack(): TarPack
  export function extract(options?: { allowUnknownFormat?: boolean }): TarExtract
}

declare module 'seek-bzip' {
  interface ByteSource {
    /** The next byte; must throw at the end. */
    readByte(): number
    read(buffer: Uint8Array, offset: number, length: number): number
  }

  interface ByteSink {
    writeByte(byte: number): void
  }

  /** The decoder behind `decode`, which takes one block after the other. */
  export default class Bunzip {
    constructor(input: ByteSource, output: ByteSink)
    readonly reader: { read(bits: number): number }
    readonly streamCRC: number
    _start_bunzip(input: ByteSource, output: ByteSink): void
    _init_block(): boolean
    _read_bunzip(): number
  }
}
