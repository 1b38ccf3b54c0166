import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

const rule = '-'.repeat(80)

/** The packages in a bundle with their versions, licences and the texts that these ask to be passed on, by name. */
export async function thirdPartyNotices(moduleIds: readonly string[]): Promise<string> {
  const folders = new Set(moduleIds.flatMap((id) => packageFolder(id) ?? []))
  const notices = new Set(await Promise.all([...folders].map(noticeOf)))
  const head = 'Starling contains these packages.\n'
  return `${[head, ...[...notices].sort()].join(`\n${rule}\n`)}\n`
}

/** `/a/node_modules/@b/c/d.js` → `/a/node_modules/@b/c`. */
function packageFolder(moduleId: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(moduleId)?.[0]
}

async function noticeOf(folder: string): Promise<string> {
  const { name, version, license } = JSON.parse(
    await readFile(join(folder, 'package.json'), 'utf8'),
  ) as Record<'name' | 'version' | 'license', string>
  const files = globSync('{LICEN[CS]E,NOTICE,COPYING,licen[cs]e}*', { cwd: folder }).sort()
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
  return [`${name} ${version} (${license})\n`, ...texts.map((text) => text.trim())].join('\n')
}
