#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <thread>

#include "bind/engine_object.h"

namespace tandem::bind {

/**
 * Work on a thread of its own, neither JavaScript's nor one of libuv's few, whose result settles a promise. An
 * environment that ends cancels the work and waits for it.
 */
class BackgroundTask {
 public:
  /** Runs on the task's thread. What it throws rejects the promise. */
  using Work = std::function<void(const CancelFlag&)>;
  /** Makes the value that the promise resolves with, on the JavaScript thread. */
  using Resolve = std::function<Napi::Value(Napi::Env)>;

  static Napi::Value start(Napi::Env env, Work work, Resolve resolve);

  BackgroundTask(Napi::Env env, Resolve resolve);
  BackgroundTask(const BackgroundTask&) = delete;
  BackgroundTask& operator=(const BackgroundTask&) = delete;

 private:
  static void environment_ends(void* task);
  void run(const Work& work);
  void finish(Napi::Env env, const std::optional<Failure>& failure);

  Napi::Promise::Deferred deferred_;
  Resolve resolve_;
  CompletionQueue queue_;
  CancelFlag cancel_{false};
  std::thread thread_;
};

}  // namespace tandem::bind
