#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

#include "bind/arguments.h"
#include "engine/engine_thread.h"

namespace tandem::bind {

/** What runs on the JavaScript thread once the engine's thread has finished something. */
using Completion = std::function<void(Napi::Env)>;

void run_completion(Napi::Env env, Napi::Function callback, std::nullptr_t* context, Completion* completion);
using CompletionQueue = Napi::TypedThreadSafeFunction<std::nullptr_t, Completion, run_completion>;

/** `NativeEngine` in src/native/addon.ts: the JavaScript face of one engine thread. */
class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  /** Starts an engine; the promise resolves with its object once the weights are loaded. */
  static Napi::Value open(Napi::Env env, Napi::Function constructor, EngineThread::Open open_engine);

  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

 private:
  using Deferred = Napi::Promise::Deferred;
  /** Makes the value that a promise resolves with, on the JavaScript thread. */
  using Resolve = std::function<Napi::Value(Napi::Env)>;

  Napi::Value description(const Napi::CallbackInfo& info);
  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value choose(const Napi::CallbackInfo& info);
  Napi::Value release(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  void start(EngineThread::Open open_engine, const Deferred& opened);
  Napi::Value post(Napi::Env env, EngineThread::Task task, Resolve resolve);
  void hold(Napi::Env env);
  void let_go(Napi::Env env);
  void complete(Completion completion) const;
  void finish(Napi::Env env);
  static void environment_ends(void* object);

  EngineDescription description_;
  std::unique_ptr<EngineThread> thread_;
  CompletionQueue queue_;
  size_t pending_ = 0;
  bool finished_ = true;  // until the thread runs, and again once it has ended
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // read and written on the JavaScript thread only
  std::vector<Deferred> dispose_waiters_;
  napi_env env_ = nullptr;
};

}  // namespace tandem::bind
