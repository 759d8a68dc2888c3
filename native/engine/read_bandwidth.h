#pragma once
#include <cstddef>
#include <cstdint>

#include "engine/engine.h"

namespace tandem {

/**
 * Bytes per second at which threads read memory, all of them together: the best of several turns over `bytes` of it,
 * since whatever else runs on the machine only slows a turn. Caches hold little of it if `bytes` are many times theirs.
 * Throws EngineError `aborted`, or std::bad_alloc.
 */
double read_bandwidth(size_t bytes, int32_t threads, const CancelFlag& cancel);

}  // namespace tandem
