import type { Exchange, RegistryServices } from './exchange.ts'
import { pageOf } from './list-page.ts'
import { missFailure } from './oci-error.ts'
import type { PageQuery } from './request.ts'

/** `GET /v2/_catalog` and `GET /v2/<name>/tags/list`, of what the live nodes of the cluster have. */
export async function serveList(
  exchange: Exchange,
  services: RegistryServices,
  repository: string | undefined,
  page: PageQuery,
): Promise<void> {
  const { registry } = exchange.request
  const answer = await services.control.list({ registry, repository })
  exchange.registry = answer.registry
  if (!answer.found) {
    exchange.fail(missFailure(answer.miss, answer.detail, 'list', answer.registry))
    return
  }
  const path = repository === undefined ? '/v2/_catalog' : `/v2/${repository}/tags/list`
  const { names, link } = pageOf(answer.names, page, path, registry)
  exchange.source = 'memory'
  exchange.reason = `${names.length} of ${answer.names.length} names`
  exchange.json(
    repository === undefined ? { repositories: names } : { name: repository, tags: names },
    link === undefined ? {} : { link },
  )
}
