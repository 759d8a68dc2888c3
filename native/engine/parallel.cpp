#include "engine/parallel.h"

#include <system_error>
#include <thread>
#include <vector>

namespace tandem {

void in_parallel(size_t threads, const std::function<void()>& work) {
  std::vector<std::thread> helpers;
  helpers.reserve(threads);
  try {
    while (helpers.size() + 1 < threads) helpers.emplace_back(work);
  } catch (const std::system_error&) {
    // What these would have taken is left to the others.
  }
  work();
  for (auto& helper : helpers) helper.join();
}

}  // namespace tandem
