import type { Command } from 'commander'
import { type ConversionReport, convert, requireQuantization } from '../../convert/convert.ts'
import { locateModel } from '../../runtime/locate.ts'
import type { CommandContext } from '../arguments.ts'
import { ProgressBar } from '../ui.ts'

interface ConvertArguments {
  output: string
  quantize: string
  allowRequantize?: boolean
  allowNonfinite?: boolean
  json?: boolean
}

export function convertCommand(command: Command, { terminal, signal }: CommandContext): Command {
  return command
    .argument('<model>')
    .requiredOption('-o, --output <file.gguf>')
    .option('--quantize <type>', '', 'q8_0')
    .option('--allow-requantize')
    .option('--allow-nonfinite')
    .option('--json')
    .action(async (model: string, parsed: ConvertArguments) => {
      const location = await locateModel(model)
      const bar = new ProgressBar(terminal.canvas, 'Converting')
      try {
        const report = await convert(location.path, {
          output: parsed.output,
          quantization: requireQuantization(parsed.quantize),
          allowRequantize: parsed.allowRequantize === true,
          allowNonfinite: parsed.allowNonfinite === true,
          onProgress: ({ done, total }) => bar.update(done, total),
          signal,
        })
        bar.end()
        for (const line of remarks(report)) terminal.notice(line)
        if (parsed.json === true) terminal.out.write(`${JSON.stringify(report)}\n`)
        else terminal.out.write(`${parsed.output}\n`)
      } finally {
        bar.end()
      }
    })
}

/** What a user should know about a file that was written all the same. */
function remarks({ fallbacks, requantized, tensors, warnings }: ConversionReport): string[] {
  const counts = new Map<string, number>()
  for (const { wanted, type, rowLength } of fallbacks) {
    const change = `rows of ${rowLength} values cannot be ${wanted} and became ${type}`
    counts.set(change, (counts.get(change) ?? 0) + 1)
  }
  const lines = [...warnings, ...[...counts].map(([change, count]) => `${count} of ${tensors} tensors: ${change}`)]
  if (requantized === 0) return lines
  return [
    ...lines,
    `${requantized} of ${tensors} tensors were quantised already: the original model gives better weights`,
  ]
}
