import type { Command } from 'commander'

/** Commander's own help command answers an unknown name with the whole help and no word about the name. */
export function helpCommand(command: Command): Command {
  return command.argument('[command]').action((name: string | undefined, _parsed: object, { parent }: Command) => {
    if (parent === null) return
    const found = parent.commands.find((one) => one.name() === name)
    if (name === undefined) parent.outputHelp()
    else if (found === undefined) parent.error(`error: unknown command '${name}'`, { exitCode: 2 })
    else found.outputHelp()
  })
}
