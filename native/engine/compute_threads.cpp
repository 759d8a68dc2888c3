#include "engine/compute_threads.h"

#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "engine/error.h"
#include "engine/library.h"

namespace tandem {

namespace {

template <typename Function>
Function* cpu_function(const char* name) {
  auto* cpu = library().ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  auto* found = backend_function<Function>(cpu, name);
  if (found == nullptr) throw EngineError("library-mismatch", std::string("ggml's CPU backend has no ") + name);
  return found;
}

/** How many of `count` threads the system lets run at once, with the one that asks. */
int32_t granted(int32_t count) {
  std::vector<std::thread> others;
  std::mutex all_tried;
  {
    const std::lock_guard<std::mutex> trying(all_tried);
    try {
      while (static_cast<int32_t>(others.size()) + 1 < count) {
        others.emplace_back([&] { const std::lock_guard<std::mutex> wait(all_tried); });
      }
    } catch (const std::system_error&) {
      // A limit of the user or the container: there are as many as there are.
    }
  }
  for (auto& other : others) other.join();
  return static_cast<int32_t>(others.size()) + 1;
}

}  // namespace

// ggml ends the process where the system refuses it a thread.
ComputeThreads::ComputeThreads(int32_t count) : count_(granted(count)), pool_(nullptr, nullptr) {
  if (count_ == 1) return;
  auto parameters = library().ggml_threadpool_params_default(count_);
  // Not spinning for the next graph: JavaScript wants a core between two of them, and what sleeps is let in sooner where
  // cores are scarce. With one of two cores busy a step of ChatLM's shape with 5 beams took 16 ms, and 22 where threads spun
  // for some milliseconds after each.
  parameters.poll = 0;
  auto* end = cpu_function<decltype(ggml_threadpool_free)>("ggml_threadpool_free");
  pool_ = {cpu_function<decltype(ggml_threadpool_new)>("ggml_threadpool_new")(&parameters), end};
}

void ComputeThreads::serve(ggml_backend_t backend) const {
  cpu_function<decltype(ggml_backend_cpu_set_threadpool)>("ggml_backend_cpu_set_threadpool")(backend, get());
}

}  // namespace tandem
