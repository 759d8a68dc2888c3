/** What `print(model)` needs to know of a module. */
export interface PrintedModule<Child> {
  className: string
  details: string
  children: Readonly<Record<string, Child>>
}

export interface ModuleLine {
  text: string
  note: string
}

/**
 * The lines of PyTorch's `print(model)`. `note` says more about a module, of which `count` are folded into one; modules
 * with different notes are not.
 */
export function moduleLines<Kind extends PrintedModule<Kind>>(
  module: Kind,
  note: (module: Kind, count: number) => string = () => '',
): ModuleLine[] {
  const children = foldedChildren(module, note)
  if (children.length === 0) return [{ text: `${module.className}(${module.details})`, note: note(module, 1) }]
  return [
    { text: `${module.className}(`, note: note(module, 1) },
    ...children.flatMap(indentedLines),
    { text: ')', note: '' },
  ]
}

interface FoldedChild {
  first: string
  last: string
  count: number
  lines: ModuleLine[]
  /** Note of the first line when several are folded. */
  noteFor: (count: number) => string
}

/** Equal neighbours in a list are printed once, as torch.nn.ModuleList does. */
function foldedChildren<Kind extends PrintedModule<Kind>>(
  module: Kind,
  note: (module: Kind, count: number) => string,
): FoldedChild[] {
  const folded: FoldedChild[] = []
  for (const [name, child] of Object.entries(module.children)) {
    const lines = moduleLines(child, note)
    const previous = folded.at(-1)
    if (previous !== undefined && module.className === 'ModuleList' && isSame(previous.lines, lines)) {
      previous.last = name
      previous.count += 1
    } else folded.push({ first: name, last: name, count: 1, lines, noteFor: (count) => note(child, count) })
  }
  return folded
}

function isSame(a: readonly ModuleLine[], b: readonly ModuleLine[]): boolean {
  return a.length === b.length && a.every(({ text, note }, i) => text === b[i]?.text && note === b[i]?.note)
}

function indentedLines({ first, last, count, lines, noteFor }: FoldedChild): ModuleLine[] {
  const label = count === 1 ? `(${first}): ` : `(${first}-${last}): ${count} x `
  return lines.map(({ text, note }, i) =>
    i === 0 ? { text: `  ${label}${text}`, note: noteFor(count) } : { text: `  ${text}`, note },
  )
}
