import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { configJsonSchema } from '../../lib/config/config-schema.ts'
import { registriesJsonSchema } from '../../lib/config/registries-schema.ts'

describe('the schemas of the configuration', () => {
  for (const [name, schema] of Object.entries({ configJsonSchema, registriesJsonSchema })) {
    it(`${name} is JSON Schema 2020-12`, () => {
      const ajv = new Ajv2020({ strict: true })
      assert.equal(ajv.validateSchema(schema), true, ajv.errorsText())
    })
  }

  it('one with a mistake is not', () => {
    assert.equal(new Ajv2020({ logger: false }).validateSchema({ type: 'text' }), false)
  })
})
