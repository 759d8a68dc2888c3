import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The package as it is built: programs and threads of their own run no TypeScript under Node.js 20. */
export const ENTRY = fileURLToPath(new URL('../../dist/index.js', import.meta.url))

/** The program of an engine. */
export const HOST = fileURLToPath(new URL('../../dist/remote/engine-host.js', import.meta.url))

if (!existsSync(HOST)) throw new Error('The package is not built: run npm run build')
