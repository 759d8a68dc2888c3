import { TandemError } from '../errors.ts'
import { architectureNumber, architectureOf, type ModelFile } from './model-file.ts'
import { checkTensors } from './tensor-limits.ts'
import { checkVocabulary } from './vocabulary-limits.ts'

// libllama ends the process where these do not hold; nothing could be caught then. Limits of llama.cpp v0.5.0.
const MAX_LAYERS = 512
const MAX_EXPERTS = 1024

/**
 * What libllama takes for granted in the metadata of a model.
 *
 * @throws TandemError `invalid-file`
 */
export function checkLibllamaMetadata(file: ModelFile, { readsVocabulary }: { readsVocabulary: boolean }): void {
  const architecture = architectureOf(file)
  const count = (key: string) => architectureNumber(file, key) ?? 0
  const layers = count('block_count')
  requireRange(`${architecture}.block_count`, layers, [1, MAX_LAYERS])
  requireRange(`${architecture}.nextn_predict_layers`, count('nextn_predict_layers'), [0, layers])
  checkExperts(architecture, count)
  checkTensors(file)
  if (readsVocabulary) checkVocabulary(file)
}

function checkExperts(architecture: string, count: (key: string) => number): void {
  const experts = count('expert_count')
  const groups = count('expert_group_count')
  requireRange(`${architecture}.expert_count`, experts, [0, MAX_EXPERTS])
  requireRange(`${architecture}.expert_used_count`, count('expert_used_count'), [experts > 0 ? 1 : 0, experts])
  requireRange(`${architecture}.expert_group_count`, groups, [0, Math.max(0, experts - 1)])
  if (groups <= 1) return
  requireRange(`${architecture}.expert_group_used_count`, count('expert_group_used_count'), [1, groups - 1])
  requireRange(`${architecture}.expert_count modulo expert_group_count`, experts % groups, [0, 0])
}

function requireRange(name: string, value: number, [least, most]: readonly [number, number]): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw new TandemError('invalid-file', `${name} is out of range`, {
    expected: least === most ? String(least) : `${least} to ${most}`,
    received: String(value),
  })
}
