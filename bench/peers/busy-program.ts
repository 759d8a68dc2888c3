import { type ChildProcess, spawn } from 'node:child_process'

/** Another program that keeps a core busy until it is killed, or at the latest until this one ends. */
export function startBusyProgram(): ChildProcess {
  return spawn(process.execPath, ['-e', 'const parent = process.ppid; while (process.ppid === parent);'])
}
