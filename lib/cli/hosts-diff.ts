/** Values that must not reach a terminal. */
const secrets = /(Authorization" = ").*(")|(:\/\/)[^/"]*@/g

function hide(line: string): string {
  return line.replaceAll(secrets, (_, start?: string, end?: string) =>
    start === undefined ? '://…@' : `${start}…${end}`,
  )
}

/**
 * The change of a small file in the form of `diff -u`, without context: the lines that go and those that come, in order
 * (longest common subsequence). Passwords are not shown.
 */
export function hostsDiff(path: string, before: string | undefined, after: string | undefined): string {
  const [old, fresh] = [before, after].map((text) => (text ?? '').split('\n').slice(0, -1).map(hide))
  const [a, b] = [old ?? [], fresh ?? []]
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1))
  const at = (i: number, j: number) => common[i]?.[j] ?? 0
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = common[i]
      if (row !== undefined)
        row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const lines = [
    `--- ${before === undefined ? '/dev/null' : path}`,
    `+++ ${after === undefined ? '/dev/null' : path}`,
  ]
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(` ${a[i]}`)
      i += 1
      j += 1
    } else if (i < a.length && (j === b.length || at(i + 1, j) >= at(i, j + 1))) lines.push(`-${a[i++]}`)
    else lines.push(`+${b[j++]}`)
  }
  return `${lines.join('\n')}\n`
}
