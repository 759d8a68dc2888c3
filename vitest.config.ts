import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['test/soak/**'],
    // Some tests run hundreds of generations; on a busy machine they take ten times as long as alone.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    // Each file in a process of its own: the native library is chosen once per process.
    pool: 'forks',
    maxWorkers: 2,
    // Two test files on two cores: threads that spin while they wait would take the cores from each other.
    env: { OMP_WAIT_POLICY: 'passive' },
  },
})
