/** The part of tar-stream that the tests use; the package ships no types. */
declare module 'tar-stream' {
  export interface TarHeader {
    name: string
    size?: number
    mode?: number
    mtime?: Date
    type?: 'file' | 'directory'
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

  export function pack(): TarPack
}
