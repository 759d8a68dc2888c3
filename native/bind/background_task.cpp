#include "bind/background_task.h"

namespace tandem::bind {

BackgroundTask::BackgroundTask(Napi::Env env, Resolve resolve)
    : deferred_(Napi::Promise::Deferred::New(env)),
      resolve_(std::move(resolve)),
      queue_(CompletionQueue::New(env, "tandem task", 0, 1, nullptr)) {}

Napi::Value BackgroundTask::start(Napi::Env env, Work work, Resolve resolve) {
  auto task = std::make_unique<BackgroundTask>(env, std::move(resolve));
  const Napi::Value promise = task->deferred_.Promise();
  // Registered after the queue's own hook, so it runs before the queue is torn down.
  napi_add_env_cleanup_hook(env, environment_ends, task.get());
  try {
    task->thread_ = std::thread([self = task.get(), work = std::move(work)] { self->run(work); });
  } catch (...) {
    napi_remove_env_cleanup_hook(env, environment_ends, task.get());
    task->queue_.Release();
    throw;
  }
  // From here on the task belongs to its completion or, if the environment ends first, to the hook.
  static_cast<void>(task.release());
  return promise;
}

void BackgroundTask::environment_ends(void* object) {
  const std::unique_ptr<BackgroundTask> task(static_cast<BackgroundTask*>(object));
  task->cancel_ = true;
  task->thread_.join();
}

void BackgroundTask::run(const Work& work) {
  const auto failure = attempt([&] { work(cancel_); });
  auto completion = std::make_unique<Completion>([this, failure](Napi::Env env) { finish(env, failure); });
  if (queue_.NonBlockingCall(completion.get()) == napi_ok) static_cast<void>(completion.release());
}

void BackgroundTask::finish(Napi::Env env, const std::optional<Failure>& failure) {
  const std::unique_ptr<BackgroundTask> owned(this);
  thread_.join();
  napi_remove_env_cleanup_hook(env, environment_ends, this);
  queue_.Release();
  if (failure) {
    deferred_.Reject(error_with_code(env, failure->code, failure->message).Value());
    return;
  }
  try {
    deferred_.Resolve(resolve_(env));
  } catch (const Napi::Error& error) {
    deferred_.Reject(error.Value());
  }
}

}  // namespace tandem::bind
