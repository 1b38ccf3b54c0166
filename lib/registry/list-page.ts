import type { PageQuery } from './request.ts'

/** Most names in one answer, whatever the client asks for. */
export const maxPageNames = 1000

export interface ListPage {
  readonly names: readonly string[]
  /** Value of the `Link` header (RFC 8288) that leads to the next page; undefined on the last one. */
  readonly link: string | undefined
}

/**
 * One page of a list that is sorted by code unit (OCI distribution specification, "Listing Tags").
 * `path` and `registry` make the link to the next page. `n=0` is an empty page without a link.
 */
export function pageOf(
  sorted: readonly string[],
  page: PageQuery,
  path: string,
  registry: string | undefined,
): ListPage {
  const limit = Math.min(page.limit ?? maxPageNames, maxPageNames)
  const { after } = page
  const start = after === undefined ? 0 : firstAfter(sorted, after)
  const names = sorted.slice(start, start + limit)
  const last = names.at(-1)
  if (last === undefined || start + limit >= sorted.length) return { names, link: undefined }
  const query = new URLSearchParams({
    ...(registry === undefined ? {} : { ns: registry }),
    n: String(limit),
    last,
  })
  return { names, link: `<${path}?${query}>; rel="next"` }
}

/** Index of the first name greater than `name`, which itself need not be in the list. */
function firstAfter(sorted: readonly string[], name: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as string) > name) high = middle
    else low = middle + 1
  }
  return low
}
