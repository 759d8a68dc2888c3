#include "engine/parallel.h"

#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/failure.h"

namespace tandem {

void in_parallel(size_t threads, const std::function<void()>& work) {
  std::mutex mutex;
  std::optional<Failure> failure;
  const auto run = [&] {
    auto found = attempt(work);
    std::lock_guard<std::mutex> lock(mutex);
    if (found && !failure) failure = std::move(found);
  };
  std::vector<std::thread> helpers;
  helpers.reserve(threads);
  try {
    while (helpers.size() + 1 < threads) helpers.emplace_back(run);
  } catch (const std::system_error&) {
    // What these would have taken is left to the others.
  }
  run();
  for (auto& helper : helpers) helper.join();
  if (failure) throw EngineError(failure->code, failure->message);
}

}  // namespace tandem
