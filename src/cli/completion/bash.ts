import type { CompletionOption, CompletionTree, CompletionValue } from './tree.ts'

/** A script for bash 3.2 and newer, which macOS still ships; it needs no package of completions. */
export function bashCompletion({ commands, options }: CompletionTree): string {
  const names = commands.map(({ name }) => name)
  const valued = (list: readonly CompletionOption[]) =>
    list.flatMap(({ flags, value }) =>
      value === undefined ? [] : [`        ${flags.join('|')}) ${reply(value)}; return ;;`],
    )
  const branches = commands.map((command) => {
    const flags = command.options.concat(options).flatMap((option) => option.flags)
    return `    ${command.name})
      case $previous in
${valued(command.options).join('\n')}
      esac
      if [[ $current == -* ]]; then _tandem_words '${[...new Set(flags)].join(' ')}'
      else ${reply(command.argument)}; fi ;;`
  })
  return `# bash completion of tandem: source <(tandem completion bash)
_tandem_words() {
  COMPREPLY+=($(compgen -W "$1" -- "$current"))
}
_tandem_files() {
  local path
  compopt -o filenames 2>/dev/null
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen -f -- "$current")
}
_tandem_models() {
  local path
  compopt -o filenames 2>/dev/null
  while IFS= read -r path; do
    if [[ -d $path || $path == *.gguf ]]; then COMPREPLY+=("$path"); fi
  done < <(compgen -f -- "$current")
}
_tandem() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command= word
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ${names.join('|')}) command=$word; break ;;
    esac
  done
  case $command in
${branches.join('\n')}
    *) _tandem_words '${[...names, ...options.flatMap(({ flags }) => flags)].join(' ')}' ;;
  esac
}
complete -F _tandem tandem
`
}

function reply({ words, files }: CompletionValue): string {
  const parts = [
    ...(words.length === 0 ? [] : [`_tandem_words '${words.join(' ')}'`]),
    ...(files === 'none' ? [] : [files === 'models' ? '_tandem_models' : '_tandem_files']),
  ]
  return parts.join('; ') || ':'
}
