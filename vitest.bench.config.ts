import { defineConfig } from 'vitest/config'

/** Measurements, a file each: vitest runs TypeScript on every Node.js that Tandem supports. */
export default defineConfig({
  test: { include: ['bench/*.ts'], testTimeout: 14_400_000, hookTimeout: 600_000, pool: 'forks', maxWorkers: 1 },
})
