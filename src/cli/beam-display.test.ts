import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { BeamDisplay } from './beam-display.ts'

function terminal(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 24 }) as unknown as NodeJS.WriteStream
  return { stream, written: () => String((stream as unknown as PassThrough).read() ?? '') }
}

const beam = (text: string, finishReason: 'eos' | undefined) => ({ text, ids: [1], score: -1.5, finishReason })

describe('the display of beams', () => {
  it('draws a line for each text and takes the lines back', () => {
    const { stream, written } = terminal(true)
    const display = new BeamDisplay(stream)
    display.show({ kind: 'beams', finished: [beam('你好吗？我很好。', 'eos')], running: [beam('How\nare', undefined)] })
    const lines = written().split('\n')
    expect(lines).toHaveLength(3)
    expect(lines[0]).toContain('■    -1.500')
    // Only the end fits, and an ideograph takes two columns.
    expect(lines[0]).toMatch(/很好。$/)
    expect(lines[1]).toContain('How are')
    display.end()
    expect(written()).toBe('\u001B[2A\u001B[0J')
    display.end()
    expect(written()).toBe('')
  })

  it('is silent without a stream and for tokens', () => {
    const nowhere = new BeamDisplay(undefined)
    expect(() => nowhere.show({ kind: 'beams', finished: [], running: [beam('a', undefined)] })).not.toThrow()
    expect(() => nowhere.end()).not.toThrow()
    const shown = terminal(true)
    new BeamDisplay(shown.stream).show({ kind: 'token', sequence: 0, token: 1, finishReason: undefined })
    expect(shown.written()).toBe('')
  })
})
