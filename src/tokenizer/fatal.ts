import { TandemError } from '../errors.ts'
import { requireSoundCharsmap } from './charsmap.ts'
import { type AddedTokenEntry, isObject } from './config.ts'
import { requireSoundModel } from './fatal-model.ts'
import { matchesNothing, patternCost } from './pattern.ts'

/*
 * The Rust library was built without unwinding: a panic ends the whole process. These are the places of tokenizers 0.23.2
 * where a file or a text can make it panic, found by reading its source and by scripts/fuzz, and what must not reach
 * them. The library takes a step without its `type` as well, by its fields; so the fields decide here, too.
 */

/** Longest text that is encoded, in UTF-16 units. A run of 10 million spaces exceeds Oniguruma's limit of retries. */
export const MAX_TEXT_LENGTH = 4_194_304

/** The same where a pattern needs the square of the length: 10 s where it was measured. */
const MAX_SQUARE_LENGTH = 65_536

/** Messages are searched for the beginnings of special tokens; those in use have some fifty characters. */
const MAX_ADDED_LENGTH = 1_024

/** How much longer the replacements of a file may make a text. Those in use leave its length as it is. */
const MAX_GROWTH = 64

/** Longest texts that the parts of a file can take, in UTF-16 units. */
export interface TextLimits {
  encoded: number
  decoded: number
}

type Step = Record<string, unknown>

/**
 * Refuses what would end the process.
 * @returns what the library can be given without harm
 * @throws TandemError `invalid-file`
 */
export function refuseFatalFile(file: Record<string, unknown>): TextLimits {
  requireSoundModel(file['model'])
  const normalizers = objectsIn(file['normalizer'])
  const preTokenizers = objectsIn(file['pre_tokenizer'])
  const decoders = objectsIn(file['decoder'])
  normalizers.forEach(requireSoundNormalizer)
  preTokenizers.forEach(requireSoundPreTokenizer)
  decoders.forEach(requireSoundDecoder)
  requireSoundTemplates(objectsIn(file['post_processor']))
  return {
    encoded: textLimit(normalizers, preTokenizers),
    decoded: textLimit(decoders, []),
  }
}

/**
 * `added_vocabulary.rs`: an added token that the normalizer makes empty matches in the middle of a character, and one
 * that takes the spaces before it begins behind its own end where another has taken the spaces after that.
 * @throws TandemError `invalid-file`
 */
export function refuseFatalTokens(tokens: readonly AddedTokenEntry[], normalize: (text: string) => string): void {
  const long = tokens.find(({ content }) => content.length > MAX_ADDED_LENGTH)
  if (long !== undefined) {
    throw unsound('an added token that is too long', `at most ${MAX_ADDED_LENGTH} characters`, `${long.content.length}`)
  }
  const texts = tokens.map(({ content, normalized }) => (normalized ? normalize(content) : content))
  const empty = tokens[texts.indexOf('')]
  if (empty !== undefined) {
    const expected = 'at least one character that stays'
    throw unsound('an added token that its normalizer makes empty', expected, JSON.stringify(empty.content))
  }
  const greedy = tokens.find(({ rightStrip }) => rightStrip)
  const spaced = tokens.find(
    ({ content, leftStrip }, i) => leftStrip && [content, texts[i]].some((text) => /^\s/.test(text ?? '')),
  )
  if (greedy === undefined || spaced === undefined) return
  const received = `${JSON.stringify(spaced.content)} with lstrip beside ${JSON.stringify(greedy.content)} with rstrip`
  throw unsound('added tokens that take the same spaces', 'no lstrip for a token that begins with a space', received)
}

/** All objects below a part of the file, itself included. */
function objectsIn(part: unknown): Step[] {
  const found: Step[] = []
  const pending = [part]
  while (pending.length > 0) {
    const value = pending.pop()
    if (isObject(value)) found.push(value)
    // One by one, since a call takes only so many arguments.
    if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) pending.push(inner)
  }
  return found
}

/** `normalizers/prepend.rs`, `replace.rs`: what is put before the first character has no place in the text. */
function requireSoundNormalizer(step: Step): void {
  const { pattern } = step
  if (isObject(pattern) && (pattern['String'] === '' || isNullable(pattern['Regex']))) {
    throw unsound('a Replace that matches nothing', 'a pattern of at least one character', JSON.stringify(pattern))
  }
  if (step['type'] === 'Precompiled' || step['precompiled_charsmap'] !== undefined) {
    requireSoundCharsmap(step['precompiled_charsmap'])
  }
  if (step['prepend'] === '') throw unsound('a Prepend of nothing', 'at least one character', '""')
}

/** `pre_tokenizers/fixed_length.rs`: pieces of no length. */
function requireSoundPreTokenizer(step: Step): void {
  if (step['length'] === 0) throw unsound('a FixedLength of 0', 'a length of at least 1', '0')
}

/** `decoders/strip.rs`: cutting at the end looks before the start of a token that is too short. */
function requireSoundDecoder(step: Step): void {
  const { stop } = step
  if (stop === undefined || stop === 0) return
  throw unsound('a Strip that cuts at the end of tokens', 'stop: 0', `stop: ${JSON.stringify(stop)}`)
}

/**
 * `processors/template.rs`: tokens are taken from `special_tokens` unseen, a text is never a pair, and what one template
 * has put together no other can take.
 */
function requireSoundTemplates(processors: readonly Step[]): void {
  const templates = processors.filter((step) => step['single'] !== undefined)
  if (templates.length > 1) throw unsound('several templates', 'one', `${templates.length}`)
  for (const template of templates) {
    const known = isObject(template['special_tokens']) ? template['special_tokens'] : {}
    const single = objectsIn(template['single'])
    if (single.some((piece) => isObject(piece['Sequence']) && piece['Sequence']['id'] === 'B')) {
      throw unsound('a template for one text that holds two', '$A alone', '$B')
    }
    const tokens = [...single, ...objectsIn(template['pair'])].map((piece) => piece['SpecialToken']).filter(isObject)
    const unknown = tokens.find((token) => !Object.hasOwn(known, String(token['id'])))
    if (unknown === undefined) continue
    const names = Object.keys(known).slice(0, 8).join(', ')
    throw unsound('a template with an unknown special token', `one of ${names}`, JSON.stringify(unknown['id']) ?? '')
  }
}

/** `onig`: a pattern that tries too many ways exceeds the limit of retries. */
function textLimit(steps: readonly Step[], others: readonly Step[]): number {
  const patterns = [...steps, ...others]
    .map((step) => step['Regex'])
    .filter((pattern): pattern is string => typeof pattern === 'string')
  const costs = patterns.map(patternCost)
  const bad = patterns[costs.indexOf('unbounded')]
  if (bad !== undefined) {
    const expected = 'one that matches a text in few ways, not such as (a+)+ or a*a*'
    throw unsound('a pattern that can take exponential time', expected, JSON.stringify(bad.slice(0, 200)))
  }
  const growth = steps.map(growthOf).reduce((product, factor) => product * factor, 1)
  if (growth > MAX_GROWTH) {
    throw unsound('replacements that blow a text up', `at most ${MAX_GROWTH} times its length`, `${growth} times`)
  }
  return Math.floor((costs.includes('square') ? MAX_SQUARE_LENGTH : MAX_TEXT_LENGTH) / growth)
}

/**
 * How many times longer a step can make a text: a replacement may match every character, or between all of them, and a
 * prefix goes before every piece between added tokens.
 */
function growthOf({ pattern, content, prepend }: Step): number {
  if (typeof prepend === 'string' && prepend.length > 1) return prepend.length + 1
  if (!isObject(pattern) || typeof content !== 'string') return 1
  const isInserted = pattern['String'] === '' || isNullable(pattern['Regex'])
  return Math.max(1, content.length + (isInserted ? 1 : 0))
}

function isNullable(regex: unknown): boolean {
  return typeof regex === 'string' && matchesNothing(regex)
}

function unsound(problem: string, expected: string, received: string): TandemError {
  return new TandemError('invalid-file', `tokenizer.json has ${problem}`, { expected, received })
}
