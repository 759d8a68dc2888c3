import type { CompletionOption, CompletionTree, CompletionValue } from './tree.ts'

/** A script for zsh: sourced after compinit, or as `_tandem` in a folder of `fpath`. */
export function zshCompletion({ commands, options }: CompletionTree): string {
  const shared = options.flatMap(specifications)
  const names = commands.map(({ name, description }) => quoted(`${name}:${description}`))
  const branches = commands.map((command) => {
    const specified = [...new Set([...command.options.flatMap(specifications), ...shared])]
    const lines = [...specified, quoted(`*:: :${action(command.argument)}`)]
    return `    ${command.name})
      _arguments -s \\
        ${lines.join(' \\\n        ')} ;;`
  })
  return `#compdef tandem
# zsh completion of tandem: source <(tandem completion zsh)
_tandem_models() {
  _alternative 'words:model:(${modelWords(commands)})' 'files:file:_path_files -g "*.gguf(-.)"' 'folders:folder:_path_files -/'
}
_tandem() {
  local curcontext=$curcontext state line
  local -a names
  names=(${names.join(' ')})
  _arguments -s -C ${shared.join(' ')} '1: :->command' '*:: :->rest'
  case $state in
    command) _describe command names ;;
    rest)
      case $line[1] in
${branches.join('\n')}
      esac ;;
  esac
}
if [[ $funcstack[1] == _tandem ]]; then _tandem "$@"; else compdef _tandem tandem; fi
`
}

function specifications({ flags, description, value }: CompletionOption): string[] {
  const explanation = description.replace(/[[\]:\\]/g, '\\$&')
  return flags.map((flag) => quoted(`${flag}[${explanation}]${value === undefined ? '' : `:value:${action(value)}`}`))
}

function action({ words, files }: CompletionValue): string {
  if (files === 'models') return '_tandem_models'
  if (files === 'any') return '_files'
  return words.length === 0 ? ' ' : `(${words.join(' ')})`
}

function modelWords(commands: CompletionTree['commands']): string {
  const values = commands.flatMap(({ options }) => options.map(({ value }) => value))
  return values.find((value) => value?.files === 'models')?.words.join(' ') ?? ''
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
