import type { Command, Option } from 'commander'
import { QUANTIZATION_NAMES } from '../../convert/convert.ts'
import { PRESETS } from '../../generation/presets.ts'
import { EMBEDDED_MODELS } from '../../runtime/locate.ts'

/** What can stand behind an option or as an argument: some words, and some files. */
export interface CompletionValue {
  words: readonly string[]
  files: 'none' | 'any' | 'models'
}

export interface CompletionOption {
  /** `-m`, `--model` */
  flags: readonly string[]
  description: string
  /** Absent: the option takes no value. */
  value?: CompletionValue
}

export interface CompletionCommand {
  name: string
  description: string
  options: readonly CompletionOption[]
  /** Of every argument. */
  argument: CompletionValue
}

export interface CompletionTree {
  commands: readonly CompletionCommand[]
  /** Of every command. */
  options: readonly CompletionOption[]
}

const NOTHING: CompletionValue = { words: [], files: 'none' }
const MODEL: CompletionValue = { words: EMBEDDED_MODELS, files: 'models' }

/** Values that commander does not know, because more is allowed than can be listed, or because others check them. */
const VALUES: Readonly<Record<string, CompletionValue>> = {
  model: MODEL,
  device: { words: ['auto', 'cpu', 'cuda', 'vulkan', 'metal'], files: 'none' },
  quantize: { words: QUANTIZATION_NAMES.split(', '), files: 'none' },
  search: { words: Object.keys(PRESETS), files: 'none' },
  doSample: { words: ['true', 'false'], files: 'none' },
  earlyStopping: { words: ['true', 'false', 'never'], files: 'none' },
  input: { words: [], files: 'any' },
  output: { words: [], files: 'any' },
  generationConfig: { words: [], files: 'any' },
}

/** What a shell needs to know about a command line, read from the commands themselves. */
export function completionTree(program: Command): CompletionTree {
  const help = program.createHelp()
  const names: CompletionValue = { words: program.commands.map((one) => one.name()), files: 'none' }
  const commands = help.visibleCommands(program).map((command): CompletionCommand => {
    const [argument] = command.registeredArguments
    return {
      name: command.name(),
      description: command.description(),
      options: help.visibleOptions(command).map(optionOf),
      // The argument of help.
      argument: argument?.name() === 'command' ? names : valuesOf(argument?.name() ?? '', argument?.argChoices),
    }
  })
  return { commands, options: help.visibleOptions(program).map(optionOf) }
}

function optionOf(option: Option): CompletionOption {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined && flag !== null)
  const takesValue = option.required || option.optional
  return {
    flags,
    description: option.description,
    ...(takesValue ? { value: valuesOf(option.attributeName(), option.argChoices) } : {}),
  }
}

function valuesOf(name: string, choices: readonly string[] | undefined): CompletionValue {
  return choices === undefined ? (VALUES[name] ?? NOTHING) : { words: choices, files: 'none' }
}
