import type { Command } from 'commander'
import { type Diagnosis, diagnose } from '../../runtime/diagnosis.ts'
import type { CommandContext } from '../arguments.ts'
import { styled } from '../terminal.ts'
import { byteSize, label } from '../ui.ts'

export function doctorCommand(command: Command, { terminal: { out } }: CommandContext): Command {
  return command.option('--json').action(async (parsed: { json?: boolean }) => {
    const diagnosis = await diagnose()
    if (parsed.json === true) out.write(`${JSON.stringify(diagnosis)}\n`)
    else {
      for (const [title, lines] of sections(diagnosis)) {
        out.write(`${styled(out, 'bold', title)}\n`)
        for (const [name, value] of lines) out.write(`  ${label(name, LABEL_WIDTH)}${value}\n`)
      }
      out.write(`\n${findingLines(diagnosis, out).join('\n')}\n`)
    }
    if (!diagnosis.canRun) process.exitCode = 1
  })
}

const SEVERITY_STYLES = { error: 'red', warning: 'yellow', note: 'dim' } as const

/** Columns of the widest label. */
const LABEL_WIDTH = 14

type Lines = [name: string, value: string][]

function sections(diagnosis: Diagnosis): [title: string, lines: Lines][] {
  return [
    ['Platform', platformLines(diagnosis)],
    ['Processor', processorLines(diagnosis)],
    ['Memory', memoryLines(diagnosis)],
    ['llama.cpp', libraryLines(diagnosis)],
    ['Devices', deviceLines(diagnosis)],
    ['Cache', cacheLines(diagnosis)],
    ['Versions', versionLines(diagnosis)],
  ]
}

function platformLines({ platform: { os, release, arch, node, glibc } }: Diagnosis): Lines {
  return [
    ['system', `${os} ${arch}, release ${release}`],
    ['Node.js', node],
    ...(glibc === undefined ? [] : ([['glibc', glibc]] satisfies Lines)),
  ]
}

function processorLines({ processor }: Diagnosis): Lines {
  if ('trouble' in processor) return [['trouble', processor.trouble.message]]
  const { model, cores, threads, features } = processor
  const [has, lacks] = [true, false].map((wanted) =>
    Object.keys(features ?? {})
      .filter((name) => features?.[name] === wanted)
      .join(' '),
  )
  return [
    ['model', model],
    ['cores', cores === undefined ? 'unknown' : String(cores)],
    ['threads', `${threads} for a model, 1 for a very small one`],
    ...((features === undefined
      ? [['features', 'unknown']]
      : [
          ['has', has || 'none of those that matter'],
          ['lacks', lacks || 'nothing that matters'],
        ]) satisfies string[][] as Lines),
  ]
}

function memoryLines({ memory }: Diagnosis): Lines {
  if ('trouble' in memory) return [['trouble', memory.trouble.message]]
  const { total, available, limit } = memory
  return [
    ['total', byteSize(total)],
    ['available', byteSize(available)],
    ...(limit === undefined ? [] : ([['limit', `${byteSize(limit)}, of the control group`]] satisfies Lines)),
  ]
}

function libraryLines({ library: { addon, release, loaded, tried, kernels, trouble } }: Diagnosis): Lines {
  const why = tried.length === 0 ? 'the first that was tried' : 'the richest that opens here'
  return [
    ['addon', release === null ? `${addon} (not opened)` : addon],
    ['variant', loaded === null ? 'none' : `${loaded.variant}, ${why}`],
    ...(loaded === null ? [] : ([['from', loaded.directory]] satisfies Lines)),
    ...(kernels === null ? [] : kernelLines(kernels)),
    ...tried.map(({ variant, obstacle }): Lines[number] => [`not ${variant}`, obstacle]),
    ...(trouble === undefined ? [] : ([['trouble', trouble.message]] satisfies Lines)),
  ]
}

function kernelLines({ t5, libllama, reason }: NonNullable<Diagnosis['library']['kernels']>): Lines {
  return [
    ['kernels, T5', t5],
    ['kernels, others', reason === null ? libllama : `${libllama}: ${reason}`],
  ]
}

function deviceLines({ devices }: Diagnosis): Lines {
  if (devices.length === 0) return [['none', 'llama.cpp was not opened']]
  return devices.map(({ name, description, type, memoryFree, memoryTotal }) => [
    name,
    `${description} (${type}), ${byteSize(memoryFree)} of ${byteSize(memoryTotal)} free`,
  ])
}

function cacheLines({ cache }: Diagnosis): Lines {
  if ('trouble' in cache) return [['trouble', cache.trouble.message]]
  return [
    ['folder', `${cache.directory}${cache.isWritable ? '' : ' (not writable)'}`],
    ['size', `${byteSize(cache.size)} in ${cache.files} ${cache.files === 1 ? 'file' : 'files'}`],
  ]
}

function versionLines({ versions: { tandem, nodeLlamaCpp, llamaCpp } }: Diagnosis): Lines {
  return [
    ['Tandem', tandem ?? 'unknown'],
    ['node-llama-cpp', nodeLlamaCpp ?? 'not found'],
    ['llama.cpp', llamaCpp ?? 'unknown'],
  ]
}

function findingLines({ findings, canRun }: Diagnosis, out: NodeJS.WriteStream): string[] {
  const verdict = canRun
    ? styled(out, 'green', 'Tandem can run models here.')
    : styled(out, 'red', 'Tandem cannot run models here.')
  return [
    verdict,
    ...findings.flatMap(({ severity, problem, remedy }) => [
      `${styled(out, SEVERITY_STYLES[severity], `${severity}:`)} ${problem}`,
      `  ${remedy}`,
    ]),
  ]
}
