#include "engine/running_thread.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace tandem {

namespace {

struct Registry {
  std::mutex mutex;
  std::condition_variable left;
  std::list<std::function<void()>> cancels;
  bool ending = false;
};

/** Never destroyed: a thread that did not end in time leaves it later. */
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

}  // namespace

RunningThread::RunningThread(std::function<void()> cancel) {
  auto& threads = registry();
  std::lock_guard<std::mutex> lock(threads.mutex);
  if (threads.ending) cancel();
  place_ = threads.cancels.insert(threads.cancels.end(), std::move(cancel));
}

RunningThread::~RunningThread() {
  auto& threads = registry();
  std::lock_guard<std::mutex> lock(threads.mutex);
  threads.cancels.erase(place_);
  threads.left.notify_all();
}

void end_running_threads() {
  // A step is cancelled between two nodes of its graph, a load between two tensors.
  constexpr std::chrono::seconds limit(5);
  auto& threads = registry();
  std::unique_lock<std::mutex> lock(threads.mutex);
  threads.ending = true;
  for (const auto& cancel : threads.cancels) cancel();
  threads.left.wait_for(lock, limit, [&] { return threads.cancels.empty(); });
}

}  // namespace tandem
