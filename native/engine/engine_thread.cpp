#include "engine/engine_thread.h"

#include <algorithm>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "engine/running_thread.h"

namespace tandem {

namespace {

const Failure disposed{"disposed", "the model has been disposed"};
const Failure aborted{"aborted", "the computation was cancelled"};

/** glibc keeps what a model has freed: a process that had loaded 150 of them, one after the other, had 156 MiB, and 92 so. */
void return_memory_to_system() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace

EngineThread::EngineThread(Open open, Opened opened, std::function<void()> closed)
    : thread_([this, open = std::move(open), opened = std::move(opened), closed = std::move(closed)] {
        const RunningThread running([this] { close(); });
        run(open, opened);
        closed();
      }) {}

EngineThread::~EngineThread() {
  close();
  join();
}

void EngineThread::run(const Open& open, const Opened& opened) {
  std::unique_ptr<Engine> engine;
  const auto failure = attempt([&] { engine = open(cancel_); });
  opened(failure, engine ? engine->description() : EngineDescription{});
  if (engine) {
    serve(*engine);
  } else {
    close();
  }
  fail_waiting_tasks();
  engine.reset();
  return_memory_to_system();
}

void EngineThread::serve(Engine& engine) {
  bool cancelled = false;
  while (auto task = next(cancelled)) {
    auto failure = cancelled ? std::optional<Failure>(aborted) : attempt([&] { task->run(engine); });
    {
      std::lock_guard<std::mutex> lock(mutex_);
      running_call_ = -1;
      if (closing_ && failure && failure->code == aborted.code) failure = disposed;
    }
    task->done(failure);
  }
}

/** Waits for a task; nothing once the thread is closing. */
std::optional<EngineThread::Task> EngineThread::next(bool& cancelled) {
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
  if (closing_) return std::nullopt;
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  cancelled = cancelled_calls_.erase(task.call) != 0;
  running_call_ = task.call;
  cancel_ = false;
  return task;
}

void EngineThread::fail_waiting_tasks() {
  std::deque<Task> waiting;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting.swap(tasks_);
  }
  for (const auto& task : waiting) task.done(disposed);
}

void EngineThread::post(Task task) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!closing_) {
      tasks_.push_back(std::move(task));
      arrived_.notify_one();
      return;
    }
  }
  task.done(disposed);
}

void EngineThread::cancel(int32_t call) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (call < 0) return;
  if (running_call_ == call) {
    cancel_ = true;
  } else if (std::any_of(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.call == call; })) {
    cancelled_calls_.insert(call);
  }
}

void EngineThread::close() {
  std::lock_guard<std::mutex> lock(mutex_);
  closing_ = true;
  cancel_ = true;
  arrived_.notify_one();
}

void EngineThread::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace tandem
