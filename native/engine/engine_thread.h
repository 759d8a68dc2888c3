#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>
#include <vector>

#include "engine/engine.h"
#include "engine/failure.h"
#include "engine/joint_step.h"

namespace tandem {

/** The one thread that owns a loaded model; everybody else sends it tasks. All callbacks run on this thread. */
class EngineThread {
 public:
  using Open = std::function<std::unique_ptr<Engine>(const CancelFlag&)>;
  using Opened = std::function<void(const std::optional<Failure>&, const EngineDescription&)>;

  struct Task {
    int32_t call;                      // the number for `cancel`; -1 for what cannot be cancelled
    std::function<void(Engine&)> run;  // unless it is a step
    std::function<void(const std::optional<Failure>&)> done;
    std::shared_ptr<Step> step;  // what waits side by side is computed together, where the engine can
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
  using Clock = std::chrono::steady_clock;
  using Outcome = std::optional<Failure>;

  void run(const Open& open, const Opened& opened);
  void serve(Engine& engine);
  std::vector<Task> next(bool joins);
  void wait_for_others(std::unique_lock<std::mutex>& lock);
  size_t waiting_steps() const;
  std::vector<Outcome> compute(Engine& engine, const std::vector<Task>& tasks);
  Outcome run_task(Engine& engine, const Task& task);
  void end(std::vector<Outcome>& outcomes, const std::vector<Task>& tasks, Clock::time_point begin);
  void fail_waiting_tasks();

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Task> tasks_;
  std::unordered_set<int32_t> cancelled_calls_;
  std::vector<int32_t> running_calls_;
  size_t expected_steps_ = 1;        // that took part in the last step, or waited when it ended
  Clock::duration step_duration_{};  // of the last step
  bool closing_ = false;
  CancelFlag cancel_{false};
  std::thread thread_;
};

}  // namespace tandem
