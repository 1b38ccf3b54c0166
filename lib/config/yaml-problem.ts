/** What is wrong with YAML text, and what to do. */
export interface YamlProblem {
  readonly message: string
  readonly hint: string
}

const problems: Readonly<Record<string, YamlProblem>> = {
  TAB_AS_INDENT: { message: 'the line is indented with a tab', hint: 'YAML takes only spaces there' },
  BAD_INDENT: {
    message: 'the indentation does not fit the lines above',
    hint: 'give keys of one level the same number of spaces, and end a key with a colon',
  },
  MULTIPLE_DOCS: {
    message: 'a second YAML document begins',
    hint: 'remove the line with --- or use two files',
  },
  BLOCK_AS_IMPLICIT_KEY: {
    message: 'a mapping begins inside a value',
    hint: 'put a value that has a colon and a space in quotes',
  },
  MISSING_CHAR: {
    message: 'something is not closed',
    hint: 'look for a missing quote, bracket or colon before this',
  },
  BAD_DQ_ESCAPE: {
    message: 'an escape in double quotes is not known',
    hint: "use 'single quotes' where backslashes are meant as they stand",
  },
  BAD_SCALAR_START: {
    message: 'a value starts with a character that YAML reserves',
    hint: 'put the value in quotes',
  },
  BAD_ALIAS: {
    message: 'an alias (*name) has no usable name',
    hint: 'put a value that starts with * in quotes',
  },
  MULTILINE_IMPLICIT_KEY: {
    message: 'a key goes over more than one line',
    hint: 'end the key with a colon on its own line',
  },
  KEY_OVER_1024_CHARS: { message: 'a key is longer than 1024 characters', hint: 'is it the right file?' },
  UNEXPECTED_TOKEN: {
    message: 'something stands where YAML does not expect it',
    hint: 'look for a stray comma, bracket or quote',
  },
}

/** A `*` that was meant as a text. */
export const starProblem: YamlProblem = {
  message: '* is not quoted',
  hint: 'write "*": in quotes, a bare * begins an alias in YAML',
}

/** Our words for a problem that the YAML parser found; its own first line where we have none. */
export function describeYamlProblem(code: string, message: string): YamlProblem {
  // A list or mapping in brackets that the end of the file cuts off comes as one that is not indented.
  const isOpen = code === 'BAD_INDENT' && /end with a [\]}]/.test(message)
  return (
    problems[isOpen ? 'MISSING_CHAR' : code] ?? {
      message: `not valid YAML: ${message.split('\n')[0]}`,
      hint: 'correct the syntax',
    }
  )
}

/** Offset of a `*` that stands unquoted as a key, as people write it in registries.yaml. */
export function unquotedStarAt(text: string): number | undefined {
  const match = /^([ \t]*|[^#\n'"]*[{,][ \t]*)\*[ \t]*(?::|$)/m.exec(text)
  return match === null ? undefined : match.index + (match[1]?.length ?? 0)
}
