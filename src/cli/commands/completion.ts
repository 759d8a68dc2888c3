import { Argument, type Command } from 'commander'
import type { CommandContext } from '../arguments.ts'
import { bashCompletion } from '../completion/bash.ts'
import { fishCompletion } from '../completion/fish.ts'
import { type CompletionTree, completionTree } from '../completion/tree.ts'
import { zshCompletion } from '../completion/zsh.ts'

const SHELLS: Readonly<Record<string, (tree: CompletionTree) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
}

export function completionCommand(command: Command, { terminal }: CommandContext): Command {
  return command
    .addArgument(new Argument('<shell>').choices(Object.keys(SHELLS)))
    .action((shell: string, _parsed: object, { parent }: Command) => {
      // Commander has checked the choice.
      const script = SHELLS[shell]
      if (parent !== null && script !== undefined) terminal.out.write(script(completionTree(parent)))
    })
}
