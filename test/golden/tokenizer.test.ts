import { describe, expect, it } from 'vitest'
import { caseFiles, goldenFolder, readJson, skipReason, tokenizerFolder } from './reference.ts'
import { describeTokenizerCases, type TokenizerCases } from './tokenizer-cases.ts'

describe.skipIf(goldenFolder === undefined)(`the reference's tokenizer cases${skipReason}`, () => {
  it('are there', () => expect(caseFiles('tok-').length).toBeGreaterThan(0))
  for (const file of caseFiles('tok-')) {
    const golden = readJson<TokenizerCases>(file)
    describeTokenizerCases(golden, tokenizerFolder(golden.tokenizer))
  }
})
