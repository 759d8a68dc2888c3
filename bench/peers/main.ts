import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Contender } from './contender.ts'
import { contendersFor, type Field } from './contenders.ts'
import { describeEnvironment } from './environment.ts'
import { TABLES } from './lines.ts'
import { bestOfPeers, linesByThreads, type MeasuredLine, measureLine } from './measure.ts'
import { projectRoot } from './project-root.ts'
import { benchmarksDocument, type MeasuredTable } from './report.ts'
import type { Shape } from './shapes.ts'
import { preparePython, type Workshop, workshopFolder } from './workshop.ts'

/*
 * Measures Tandem and its peers side by side and writes docs/benchmarks.md:
 *
 *     npm run bench                                     everything, 25 minutes on two cores
 *     npm run bench -- --only t5-decode --only t5-load  some tables, shown and not written
 *     npm run bench -- --only t5-decode --output FILE   the same, into a file
 *
 * --turns N (3) is how often all take their turn. Models and peers are made once, in --folder DIR, $TANDEM_BENCH or beside
 * the models that Tandem caches; --python PYTHON names one that already has what requirements.txt lists. Needs python3
 * with venv, git, and 6 GB of disk. pip obeys its own variables: with
 * PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu it installs torch without CUDA.
 */

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: Object.keys(TABLES) },
    turns: { type: 'string', default: '3' },
    folder: { type: 'string' },
    python: { type: 'string' },
    output: { type: 'string' },
  },
})
const turns = Number(values.turns)
const chosen = values.only.map((name) => {
  const table = TABLES[name]
  if (table === undefined) throw new Error(`--only ${name}: there are ${Object.keys(TABLES).join(', ')}`)
  return { name, ...table }
})
if (!Number.isSafeInteger(turns) || turns < 1) throw new Error(`--turns ${values.turns}: expected an integer above 0`)

/** The model that is loaded in the programs. */
let current: { shape: Shape; fields: Record<Field, Contender[]> } | undefined

async function contenders(workshop: Workshop, shape: Shape, field: Field): Promise<Contender[]> {
  if (current?.shape !== shape) {
    // The memory of a machine may not hold two models in every program.
    await closeAll()
    current = { shape, fields: await contendersFor(workshop, shape) }
  }
  return current.fields[field]
}

async function closeAll(): Promise<void> {
  for (const contender of Object.values(current?.fields ?? {}).flat()) await contender.close()
  current = undefined
}

function show(line: MeasuredLine): void {
  const results = bestOfPeers(line).map(({ peer, setting, value }) => `${peer} ${value.toPrecision(3)} (${setting})`)
  console.log(`  ${line.title}, ${line.unit}: ${results.join('; ')}`)
  for (const text of line.failures) console.log(`  not measured: ${text}`)
}

async function main(): Promise<void> {
  const folder = await workshopFolder(values.folder)
  console.log(`Models and peers are in ${folder}`)
  const workshop: Workshop = { folder, python: values.python ?? (await preparePython(folder)) }
  const shapes = [...new Set(chosen.flatMap(({ lines }) => lines.map(({ shape }) => shape)))]
  const environment = await describeEnvironment(workshop, shapes, turns)
  const tables: MeasuredTable[] = []
  try {
    for (const { name, title, lines, byThreads } of chosen) {
      console.log(title)
      const measured: MeasuredLine[] = []
      for (const line of lines) {
        const result = await measureLine(line, await contenders(workshop, line.shape, line.field), turns)
        const shown = byThreads === true ? linesByThreads(result) : [result]
        shown.forEach(show)
        measured.push(...shown)
      }
      tables.push({ name, title, lines: measured })
    }
  } finally {
    await closeAll()
  }
  const document = benchmarksDocument(tables, environment)
  const isWhole = chosen.length === Object.keys(TABLES).length
  const output = values.output ?? (isWhole ? join(projectRoot, 'docs/benchmarks.md') : undefined)
  if (output === undefined) console.log(`\n${document}`)
  else await writeFile(output, document)
}

await main()
