import { CHINESE } from './chinese.ts'
import { ENGLISH, type Texts } from './english.ts'

/** The system that is asked for a language. */
export interface LanguageSource {
  environment: Readonly<Record<string, string | undefined>>
  platform: string
  /** The locale of the system, where the environment names none. */
  locale: string
}

/**
 * The texts of the user's language: Chinese or English. The first variable that is set and not empty decides, in the
 * order of POSIX (Base Definitions, 8.2); where Windows sets none of them, the language of the system.
 */
export function textsFor({ environment, platform, locale }: LanguageSource = ownSystem()): Texts {
  const set = ['LC_ALL', 'LC_MESSAGES', 'LANG'].map((name) => environment[name]).find(Boolean)
  return /^zh(?![a-z])/i.test(set ?? (platform === 'win32' ? locale : '')) ? CHINESE : ENGLISH
}

function ownSystem(): LanguageSource {
  return {
    environment: process.env,
    platform: process.platform,
    locale: new Intl.DateTimeFormat().resolvedOptions().locale,
  }
}
