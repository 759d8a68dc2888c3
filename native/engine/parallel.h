#pragma once
#include <cstddef>
#include <functional>

namespace tandem {

/**
 * Runs `work` on `threads` threads, of which the caller is one, and returns when all have ended. It takes what is left to
 * do until nothing is, and must not throw: a system that refuses threads leaves everything to those there are.
 */
void in_parallel(size_t threads, const std::function<void()>& work);

}  // namespace tandem
