import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The program of an engine as it is built: Node.js 20 runs no TypeScript. */
export const HOST = fileURLToPath(new URL('../../dist/remote/engine-host.js', import.meta.url))
if (!existsSync(HOST)) throw new Error('The package is not built: run npm run build')
