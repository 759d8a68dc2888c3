import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** The folder of the project: these files run as sources and as what is built of them. */
export const projectRoot = (() => {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
})()

/** What users run is measured: the built package. */
export function distUrl(file: string): string {
  return pathToFileURL(join(projectRoot, 'dist', file)).href
}
