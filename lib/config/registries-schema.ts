type Schema = Readonly<Record<string, unknown>>

/** The file as it is once it has passed the schema; YAML's empty value (`docker.io:`) is null. */
export interface RegistriesDocument {
  readonly mirrors?: Readonly<Record<string, MirrorDocument | null>> | null
  readonly configs?: Readonly<Record<string, HostDocument | null>> | null
}

export interface HostDocument {
  readonly auth?: {
    readonly username?: string | null
    readonly password?: string | null
    readonly auth?: string | null
    readonly identity_token?: string | null
  } | null
  readonly tls?: {
    readonly ca_file?: string | null
    readonly cert_file?: string | null
    readonly key_file?: string | null
    readonly insecure_skip_verify?: boolean | null
  } | null
}

export interface MirrorDocument {
  readonly endpoint?: readonly string[] | null
  readonly rewrite?: Readonly<Record<string, string>> | null
}

const text = (description: string): Schema => ({ type: ['string', 'null'], description })

function entry(description: string, properties: Readonly<Record<string, Schema>>): Schema {
  return { type: ['object', 'null'], description, additionalProperties: false, properties }
}

function byHost(description: string, value: Schema): Schema {
  return { type: ['object', 'null'], description, additionalProperties: value }
}

/** The structure of registries.yaml as K3s and RKE2 document it ("Private Registry Configuration"). */
export const registriesJsonSchema: Schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Registries of a node, in the format of K3s and RKE2',
  ...entry('Mirrors and how to reach them', {
    mirrors: byHost(
      'The registries that are mirrored, and "*" for all',
      entry('Where to pull it from', {
        endpoint: {
          type: ['array', 'null'],
          description: 'URLs, tried in this order',
          items: { type: 'string', description: 'A URL' },
          examples: ['["https://mirror.example.com"]'],
        },
        rewrite: {
          type: ['object', 'null'],
          description: 'Regular expressions over repository names and what replaces them',
          additionalProperties: { type: 'string', description: 'The replacement' },
        },
      }),
    ),
    configs: byHost(
      'How to reach a host',
      entry('One host', {
        auth: entry('Credentials', {
          username: text('Name for basic authentication'),
          password: text('Its password'),
          auth: text('Name and password, base64'),
          identity_token: text('Token for a token server'),
        }),
        tls: entry('TLS', {
          ca_file: text('Path of CA certificates'),
          cert_file: text('Path of a client certificate'),
          key_file: text('Path of its key'),
          insecure_skip_verify: { type: ['boolean', 'null'], description: 'Certificates are not checked' },
        }),
      }),
    ),
  }),
}
