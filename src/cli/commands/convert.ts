import type { Command } from 'commander'
import { type ConversionReport, convert, QUANTIZATION_NAMES, requireQuantization } from '../../convert/convert.ts'
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
    .description('Convert a Hugging Face model folder to one GGUF file, or a GGUF file to other types')
    .argument('<model>', 'the folder, the name of an embedded model, or a .gguf file')
    .requiredOption('-o, --output <file.gguf>', 'the file to write')
    .option('--quantize <type>', `type of the weights, or a mix of types: ${QUANTIZATION_NAMES}`, 'q8_0')
    .option('--allow-requantize', 'let a GGUF file that is quantised already be quantised again')
    .option('--allow-nonfinite', 'keep tensors with NaN, infinity or too large values as they are, in f32')
    .option('--json', 'print the report as JSON')
    .action(async (model: string, parsed: ConvertArguments) => {
      const location = await locateModel(model)
      const bar = new ProgressBar(terminal.err, 'Converting')
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
        for (const line of remarks(report)) terminal.err.write(`tandem: ${line}\n`)
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
