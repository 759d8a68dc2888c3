import { expect, test } from 'vitest'
import { killEngines } from '../remote/killed-engines.ts'

const KILLS = Number(process.env['TANDEM_KILLS'] ?? 200)

test('engines, killed again and again in the middle of their work', async () => {
  const { errors, answers } = await killEngines(KILLS)
  const most = (times: number[]) => `${Math.max(...times).toFixed(0)} ms at most`
  process.stdout.write(`${KILLS} kills; errors after ${most(errors)}, the next answer after ${most(answers)}\n`)
  expect(errors).toHaveLength(KILLS)
  expect(Math.max(...errors)).toBeLessThan(1_000)
})
