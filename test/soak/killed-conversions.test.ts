import { expect, test } from 'vitest'
import { killConversions } from '../integration/killed-conversions.ts'

const KILLS = Number(process.env['TANDEM_KILLS'] ?? 200)

test.each(['convert', 'load'] as const)('%s, killed again and again', async (program) => {
  const { killed, halfWritten } = await killConversions(program, KILLS)
  process.stdout.write(
    `${program}: ${KILLS} runs, ${killed} killed before their end, ${halfWritten} left an unfinished file\n`,
  )
  expect(killed).toBeGreaterThan(KILLS / 4)
  expect(halfWritten).toBeGreaterThan(0)
})
