import { type Command, Option } from 'commander'
import { type CliContext, defaultConfigFile, examples } from './context.ts'

const fileHelp = 'the file to read'

/** `starling config show|schema|check` */
export function addConfigCommands(program: Command, context: CliContext): void {
  const config = program
    .command('config')
    .helpCommand(false)
    .description('Look at configuration files')
    .addHelpText(
      'after',
      examples(
        ['starling config check --config node.yaml', 'are there errors?'],
        ['starling config show --config node.yaml', 'the same with all defaults'],
      ),
    )

  config
    .command('show')
    .description(
      'Print the effective configuration with all defaults; secrets are not in it, only their paths',
    )
    .option('--config <file>', fileHelp, defaultConfigFile)
    .addOption(
      new Option('-o, --output <format>', 'how to print it').choices(['yaml', 'json']).default('yaml'),
    )
    .addHelpText('after', examples(['starling config show --config node.yaml', 'as YAML']))
    .action(async (options: { config: string; output: 'yaml' | 'json' }) => {
      const { readConfig } = await import('../app/config/config-files.ts')
      const { renderConfig, renderConfigYaml } = await import('../config/render-config.ts')
      const effective = await readConfig(options.config)
      context.write(
        options.output === 'yaml'
          ? renderConfigYaml(effective)
          : `${JSON.stringify(renderConfig(effective), null, 2)}\n`,
      )
    })

  config
    .command('schema')
    .description('Print the JSON Schema of the configuration file, for editors and checks')
    .addHelpText('after', examples(['starling config schema > config.schema.json', 'keep it in a file']))
    .action(async () => {
      const { configJsonSchema } = await import('../config/config-schema.ts')
      context.write(`${JSON.stringify(configJsonSchema, null, 2)}\n`)
    })

  config
    .command('check')
    .description('Check the configuration file and the registries file that it names; no node is touched')
    .option('--config <file>', fileHelp, defaultConfigFile)
    .addHelpText(
      'after',
      examples(['starling config check --config node.yaml', 'exit code 2 if it has errors']),
    )
    .action(async (options: { config: string }) => {
      const { readConfig, readRegistries } = await import('../app/config/config-files.ts')
      const effective = await readConfig(options.config)
      const { mirrors, warnings } = await readRegistries(effective.registries)
      for (const warning of warnings) context.note(`warning: ${warning.format()}`)
      const names = [...mirrors.names, ...(mirrors.wildcard ? ['"*"'] : [])]
      context.write(`${options.config}: good\n`)
      context.write(
        `${effective.registries}: ${names.length === 0 ? 'mirrors nothing, so the node would only wait' : `mirrors ${names.join(', ')}`}\n`,
      )
    })
}
