#include "bind/background_task.h"

#include <memory>
#include <optional>
#include <thread>

#include "bind/arguments.h"
#include "engine/failure.h"
#include "engine/running_thread.h"

namespace tandem::bind {

namespace {

class Task;
void finish_task(Napi::Env env, Napi::Function callback, std::nullptr_t* context, Task* task);

/** Belongs to its own completion or, if the environment ends first, to the environment's hook. */
class Task {
 public:
  using Queue = Napi::TypedThreadSafeFunction<std::nullptr_t, Task, finish_task>;

  Task(Napi::Env env, BackgroundResult result)
      : deferred_(Napi::Promise::Deferred::New(env)),
        result_(std::move(result)),
        queue_(Queue::New(env, "tandem task", 0, 1, nullptr)) {}

  Napi::Value promise() const { return deferred_.Promise(); }

  void start(Napi::Env env, BackgroundWork work) {
    // Registered after the queue's own hook, so it runs before the queue is torn down.
    napi_add_env_cleanup_hook(env, environment_ends, this);
    try {
      thread_ = std::thread([this, work = std::move(work)] { run(work); });
    } catch (...) {
      napi_remove_env_cleanup_hook(env, environment_ends, this);
      queue_.Release();
      throw;
    }
  }

  void finish(Napi::Env env) {
    thread_.join();
    napi_remove_env_cleanup_hook(env, environment_ends, this);
    queue_.Release();
    try {
      if (failure_) {
        deferred_.Reject(error_with_code(env, failure_->code, failure_->message).Value());
      } else {
        deferred_.Resolve(result_(env));
      }
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
  }

 private:
  static void environment_ends(void* object) {
    const std::unique_ptr<Task> task(static_cast<Task*>(object));
    task->cancel_ = true;
    task->thread_.join();
  }

  void run(const BackgroundWork& work) {
    const RunningThread running([this] { cancel_ = true; });
    failure_ = attempt([&] { work(cancel_); });
    // Refused only by an environment that is ending, whose hook then waits for this thread.
    queue_.NonBlockingCall(this);
  }

  Napi::Promise::Deferred deferred_;
  const BackgroundResult result_;
  Queue queue_;
  CancelFlag cancel_{false};
  std::optional<Failure> failure_;  // written by the thread, read once it has been joined
  std::thread thread_;
};

void finish_task(Napi::Env env, Napi::Function, std::nullptr_t*, Task* task) {
  if (static_cast<napi_env>(env) == nullptr) return;  // the environment is going away, and its hook has freed the task
  const std::unique_ptr<Task> owned(task);
  Napi::HandleScope scope(env);
  try {
    owned->finish(env);
  } catch (const Napi::Error&) {
    // Only an environment that is ending refuses to settle a promise.
  }
}

}  // namespace

Napi::Value run_in_background(Napi::Env env, BackgroundWork work, BackgroundResult result) {
  auto task = std::make_unique<Task>(env, std::move(result));
  task->start(env, std::move(work));
  return task.release()->promise();
}

}  // namespace tandem::bind
