#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>

#include "engine/engine.h"
#include "engine/failure.h"

namespace tandem {

/** The one thread that owns a loaded model; everybody else sends it tasks. All callbacks run on this thread. */
class EngineThread {
 public:
  using Open = std::function<std::unique_ptr<Engine>(const CancelFlag&)>;
  using Opened = std::function<void(const std::optional<Failure>&, const EngineDescription&)>;

  struct Task {
    int32_t call;  // the number for `cancel`; -1 for what cannot be cancelled
    std::function<void(Engine&)> run;
    std::function<void(const std::optional<Failure>&)> done;
  };

  /** Starts the thread, which opens the engine first. `closed` is the last thing it does. */
  EngineThread(Open open, Opened opened, std::function<void()> closed);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /** After `close` the task fails with `disposed`. */
  void post(Task task);
  void cancel(int32_t call);
  /** Cancels what runs, fails what waits, frees the engine. Returns at once. */
  void close();
  void join();

 private:
  void run(const Open& open, const Opened& opened);
  void serve(Engine& engine);
  std::optional<Task> next(bool& cancelled);
  void fail_waiting_tasks();

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Task> tasks_;
  std::unordered_set<int32_t> cancelled_calls_;
  int32_t running_call_ = -1;
  bool closing_ = false;
  CancelFlag cancel_{false};
  std::thread thread_;
};

}  // namespace tandem
