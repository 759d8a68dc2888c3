// Builds the addon with cmake-js. The llama.cpp headers come from the source bundle inside node-llama-cpp: the very
// release whose libraries it ships, so nothing of llama.cpp is copied into this repository and nothing is downloaded.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const build = process.env.TANDEM_BUILD_DIRECTORY ?? join(root, 'build')
const packageRoot = (name) => dirname(require.resolve(`${name}/package.json`, { paths: [root] }))

const llama = join(dirname(dirname(require.resolve('node-llama-cpp', { paths: [root] }))), 'llama')
const release = JSON.parse(readFileSync(join(llama, 'llama.cpp.info.json'), 'utf8')).tag
const headers = extractHeaders(join(llama, 'gitRelease.bundle'), join(build, `llama.cpp-${release}`))

const sanitize = process.argv.includes('--sanitize')
execFileSync(
  process.execPath,
  [
    join(packageRoot('cmake-js'), 'bin', 'cmake-js'),
    'build',
    '--directory',
    join(root, 'native'),
    '--out',
    build,
    '--parallel',
    '2',
    `--CDLLAMA_INCLUDE=${headers}`,
    `--CDLLAMA_RELEASE=${release}`,
    `--CDTANDEM_SANITIZE=${sanitize ? 'ON' : 'OFF'}`,
  ],
  { stdio: 'inherit' },
)

/** Writes llama.cpp's public headers, and those of its CPU backend's extra buffers, into `target/include`; returns that. */
function extractHeaders(bundle, target) {
  const include = join(target, 'include')
  if (existsSync(join(include, 'ggml-cpu', 'traits.h'))) return include
  const clone = join(target, 'clone')
  rmSync(target, { recursive: true, force: true })
  mkdirSync(include, { recursive: true })
  // `ggml/include` and `include` both land flat: the headers include one another by bare name.
  execFileSync('git', ['clone', '--quiet', '--bare', bundle, clone], { stdio: ['ignore', 'ignore', 'inherit'] })
  const internal = ['ggml-backend-impl.h', 'ggml-impl.h', 'ggml-cpu/ggml-cpu-impl.h', 'ggml-cpu/traits.h']
  for (const tree of [['HEAD:ggml/src', ...internal], ['HEAD:ggml/include'], ['HEAD:include']]) {
    const archive = join(target, 'headers.tar')
    execFileSync('git', ['-C', clone, 'archive', '--output', archive, ...tree], { stdio: 'inherit' })
    execFileSync('cmake', ['-E', 'tar', 'xf', archive], { cwd: include, stdio: 'inherit' })
    rmSync(archive)
  }
  rmSync(clone, { recursive: true, force: true })
  return include
}
