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

/** For the memory of intermediate results: no further step is taken along from here on. */
constexpr size_t most_joint_tokens = 256;
/** The part of a step's duration that is waited for others. */
constexpr int patience = 8;

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
  for (auto tasks = next(engine.joins_steps()); !tasks.empty(); tasks = next(engine.joins_steps())) {
    const auto begin = Clock::now();
    auto outcomes = compute(engine, tasks);
    end(outcomes, tasks, begin);
    for (size_t i = 0; i < tasks.size(); ++i) tasks[i].done(outcomes[i]);
  }
}

/** Waits for a task, and takes steps that wait behind a step along; nothing once the thread is closing. */
std::vector<EngineThread::Task> EngineThread::next(bool joins) {
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
  if (joins && !closing_ && tasks_.front().step) wait_for_others(lock);
  std::vector<Task> taken;
  if (closing_) return taken;
  size_t tokens = 0;
  do {
    if (tasks_.front().step) tokens += tasks_.front().step->rows().tokens.size();
    running_calls_.push_back(tasks_.front().call);
    taken.push_back(std::move(tasks_.front()));
    tasks_.pop_front();
  } while (joins && taken.back().step && !tasks_.empty() && tasks_.front().step && tokens < most_joint_tokens);
  cancel_ = false;
  return taken;
}

/**
 * Requests that took part in the last step are about to ask for the next one, as soon as JavaScript has looked at their
 * results: without a moment's patience the first of them would get a step of its own, and the others would trail behind.
 */
void EngineThread::wait_for_others(std::unique_lock<std::mutex>& lock) {
  if (expected_steps_ <= waiting_steps()) return;
  arrived_.wait_for(lock, step_duration_ / patience, [this] { return closing_ || waiting_steps() >= expected_steps_; });
}

size_t EngineThread::waiting_steps() const {
  const auto count = std::count_if(tasks_.begin(), tasks_.end(), [](const Task& task) { return task.step != nullptr; });
  return static_cast<size_t>(count);
}

std::vector<EngineThread::Outcome> EngineThread::compute(Engine& engine, const std::vector<Task>& tasks) {
  std::vector<Outcome> outcomes;
  std::vector<Step*> steps;
  if (tasks.size() > 1) {
    for (const auto& task : tasks) steps.push_back(task.step.get());
  }
  if (!steps.empty() && !attempt([&] { compute_together(engine, steps); })) {
    for (auto* step : steps) outcomes.push_back(attempt([&] { step->finish(); }));
    return outcomes;
  }
  // Where they failed together one of them may be at fault, which nothing but trying tells.
  for (const auto& task : tasks) outcomes.push_back(run_task(engine, task));
  return outcomes;
}

EngineThread::Outcome EngineThread::run_task(Engine& engine, const Task& task) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (cancelled_calls_.count(task.call) != 0) return aborted;
  }
  return attempt([&] {
    if (task.step) compute_alone(engine, *task.step);
    else task.run(engine);
  });
}

void EngineThread::end(std::vector<Outcome>& outcomes, const std::vector<Task>& tasks, Clock::time_point begin) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < tasks.size(); ++i) {
    // A step that others share goes on without the one that has been cancelled.
    if (cancelled_calls_.erase(tasks[i].call) != 0) outcomes[i] = aborted;
    if (closing_ && outcomes[i] && outcomes[i]->code == aborted.code) outcomes[i] = disposed;
  }
  running_calls_.clear();
  if (!tasks.front().step) return;
  expected_steps_ = tasks.size() + waiting_steps();
  step_duration_ = Clock::now() - begin;
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
  const bool runs = std::find(running_calls_.begin(), running_calls_.end(), call) != running_calls_.end();
  const bool waits = std::any_of(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.call == call; });
  if (runs && running_calls_.size() == 1) cancel_ = true;
  else if (runs || waits) cancelled_calls_.insert(call);
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
