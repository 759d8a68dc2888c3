import type { SearchMode } from '../options.ts'
import { beamSearch } from './beam.ts'
import { contrastiveSearch } from './contrastive.ts'
import { greedySearch } from './greedy.ts'
import { samplingSearch } from './sampling.ts'
import type { Search } from './search.ts'

/** The search of each mode; the options decide the mode. */
export const SEARCHES: Readonly<Record<SearchMode, Search>> = {
  greedy: greedySearch,
  sampling: samplingSearch,
  beam: beamSearch,
  contrastive: contrastiveSearch,
}
