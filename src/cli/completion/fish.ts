import type { CompletionOption, CompletionTree, CompletionValue } from './tree.ts'

/** A script for fish: sourced, or as tandem.fish in a folder of `fish_complete_path`. */
export function fishCompletion({ commands, options }: CompletionTree): string {
  const names = commands.map(({ name }) => name).join(' ')
  const lines = [
    ...options.map((option) => optionLine('', option)),
    ...commands.map(
      ({ name, description }) =>
        `complete -c tandem -n 'not __fish_seen_subcommand_from ${names}' -a ${name} -d ${quoted(description)}`,
    ),
    ...commands.flatMap((command) => {
      const condition = `-n '__fish_seen_subcommand_from ${command.name}' `
      const values = candidates(command.argument)
      return [
        ...(values === '' ? [] : [`complete -c tandem ${condition}-a ${values}`]),
        ...command.options.map((option) => optionLine(condition, option)),
      ]
    }),
  ]
  return `# fish completion of tandem: tandem completion fish | source
function __tandem_models
    __fish_complete_suffix .gguf | string match -r '.*(?:/|\\.gguf)(?:\\t.*)?$'
end
complete -c tandem -f
${lines.join('\n')}
`
}

function optionLine(condition: string, { flags, description, value }: CompletionOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
  const values = value === undefined ? '' : candidates(value)
  // -x: a value, and no file but those that -a lists.
  const rest = value === undefined ? '' : ` -x${values === '' ? '' : ` -a ${values}`}`
  return `complete -c tandem ${condition}${names.join(' ')} -d ${quoted(description)}${rest}`
}

function candidates({ words, files }: CompletionValue): string {
  const found = [
    ...words,
    ...(files === 'models' ? ['(__tandem_models)'] : files === 'any' ? ['(__fish_complete_path)'] : []),
  ]
  return found.length === 0 ? '' : quoted(found.join(' '))
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
