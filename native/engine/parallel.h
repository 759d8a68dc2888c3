#pragma once
#include <cstddef>
#include <functional>

namespace tandem {

/**
 * Runs `work` on `threads` threads, of which the caller is one, and returns when all have ended. It takes what is left to
 * do until nothing is: a system that refuses threads leaves everything to those there are. Throws the first failure as an
 * EngineError.
 */
void in_parallel(size_t threads, const std::function<void()>& work);

}  // namespace tandem
