import { type HostsDisk, nodeHostsDisk } from '../../../lib/app/config/hosts-folder.ts'

/** A disk that fails from the `failAt`-th change on, as for a process that is killed there. */
export function dyingDisk(failAt: number): { readonly disk: HostsDisk; steps(): number } {
  let step = 0
  const guard = <A extends unknown[]>(act: (...args: A) => Promise<void>) => {
    return async (...args: A) => {
      step += 1
      if (step >= failAt) throw new Error('killed')
      await act(...args)
    }
  }
  const disk: HostsDisk = {
    makeFolder: guard(nodeHostsDisk.makeFolder),
    writeNew: guard(nodeHostsDisk.writeNew),
    link: guard(nodeHostsDisk.link),
    rename: guard(nodeHostsDisk.rename),
    removeFile: guard(nodeHostsDisk.removeFile),
    removeTree: guard(nodeHostsDisk.removeTree),
    removeEmpty: guard(nodeHostsDisk.removeEmpty),
    sync: guard(nodeHostsDisk.sync),
  }
  return { disk, steps: () => step }
}
