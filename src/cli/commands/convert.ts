import type { Command } from 'commander'
import { type ConvertOptions, convert } from '../../convert/convert.ts'
import { TandemError } from '../../errors.ts'
import { locateModel } from '../../runtime/locate.ts'
import type { CommandContext } from '../arguments.ts'
import { ProgressBar } from '../ui.ts'

interface ConvertArguments {
  output: string
  quantize: string
  json?: boolean
}

export function convertCommand(command: Command, { terminal, signal }: CommandContext): Command {
  return command
    .description('Convert a Hugging Face model folder to one GGUF file')
    .argument('<dir>', 'the folder, or the name of an embedded model')
    .requiredOption('-o, --output <file.gguf>', 'the file to write')
    .option('--quantize <type>', 'type of the weights: f32, f16, bf16 or q8_0', 'q8_0')
    .option('--json', 'print the report as JSON')
    .action(async (directory: string, parsed: ConvertArguments) => {
      const location = await locateModel(directory)
      if (location.kind !== 'folder') {
        throw new TandemError('invalid-argument', `${directory} is not a model folder`, { received: 'a file' })
      }
      const bar = new ProgressBar(terminal.err, 'Converting')
      try {
        const report = await convert(location.path, {
          output: parsed.output,
          quantization: parsed.quantize as NonNullable<ConvertOptions['quantization']>,
          onProgress: ({ done, total }) => bar.update(done, total),
          signal,
        })
        bar.end()
        if (parsed.json === true) terminal.out.write(`${JSON.stringify(report)}\n`)
        else terminal.out.write(`${parsed.output}\n`)
      } finally {
        bar.end()
      }
    })
}
