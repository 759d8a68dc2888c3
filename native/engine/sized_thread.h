#pragma once
#include <cstddef>
#include <functional>

namespace tandem {

/**
 * Runs `work` on a new thread with a stack of at least `stack_bytes` and waits for it. Pages of the stack that are never
 * touched cost address space, not memory. Throws what `work` throws, EngineError `out-of-memory` if the system refuses.
 */
void run_on_sized_thread(size_t stack_bytes, const std::function<void()>& work);

}  // namespace tandem
