#include "bind/engine_object.h"

namespace tandem::bind {

namespace {

template <typename Array, typename Value>
Array typed_array(Napi::Env env, const std::vector<Value>& values) {
  auto array = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Value step_result(Napi::Env env, const StepResult& result) {
  auto object = Napi::Object::New(env);
  object.Set("ids", typed_array<Napi::Int32Array>(env, result.ids));
  object.Set("scores", typed_array<Napi::Float32Array>(env, result.scores));
  object.Set("beams", typed_array<Napi::Int32Array>(env, result.beams));
  object.Set("counts", typed_array<Napi::Int32Array>(env, result.counts));
  object.Set("logSumExp", typed_array<Napi::Float32Array>(env, result.log_sum_exp));
  object.Set("logits", typed_array<Napi::Float32Array>(env, result.logits));
  object.Set("hiddenStates", typed_array<Napi::Float32Array>(env, result.hidden_states));
  return object;
}

void reject(Napi::Env env, const Napi::Promise::Deferred& deferred, const Failure& failure) {
  deferred.Reject(error_with_code(env, failure.code, failure.message).Value());
}

/** Resolves with what `make` makes; an error of it (no memory for an array) rejects. */
void settle(Napi::Env env, const Napi::Promise::Deferred& deferred, const std::function<Napi::Value(Napi::Env)>& make) {
  try {
    deferred.Resolve(make(env));
  } catch (const Napi::Error& error) {
    deferred.Reject(error.Value());
  }
}

/** What JavaScript asks of a step, and what it gets. */
class RequestedStep : public Step {
 public:
  RequestedStep(StepRows rows, StepRequest request, int32_t vocabulary)
      : rows_(std::move(rows)), request_(std::move(request)), vocabulary_(static_cast<size_t>(vocabulary)) {}

  const StepRows& rows() const override { return rows_; }
  OutputReceiver& begin() override {
    return collector_.emplace(request_, count_outputs(rows_, Output::distribution), vocabulary_);
  }
  void finish() override {
    result_ = collector_->take();
    collector_.reset();
  }
  const StepResult& result() const { return result_; }

 private:
  const StepRows rows_;
  const StepRequest request_;
  const size_t vocabulary_;
  std::optional<StepCollector> collector_;
  StepResult result_;
};

}  // namespace

void run_completion(Napi::Env env, Napi::Function, std::nullptr_t*, Completion* completion) {
  const std::unique_ptr<Completion> owned(completion);
  if (static_cast<napi_env>(env) == nullptr) return;  // the environment is going away; nobody waits any more
  Napi::HandleScope scope(env);
  try {
    (*owned)(env);
  } catch (const Napi::Error&) {
    // Only an environment that is ending refuses to settle a promise.
  }
}

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(env, "NativeEngine",
                     {InstanceAccessor<&EngineObject::description>("description"),
                      InstanceMethod<&EngineObject::encode>("encode"), InstanceMethod<&EngineObject::step>("step"),
                      InstanceMethod<&EngineObject::choose>("choose"),
                      InstanceMethod<&EngineObject::release>("release"), InstanceMethod<&EngineObject::cancel>("cancel"),
                      InstanceMethod<&EngineObject::dispose>("dispose")});
}

Napi::Value EngineObject::open(Napi::Env env, Napi::Function constructor, EngineThread::Open open_engine) {
  const auto deferred = Deferred::New(env);
  const auto key = Napi::External<EngineThread::Open>::New(env, &open_engine);
  Unwrap(constructor.New({key}))->start(std::move(open_engine), deferred);
  return deferred.Promise();
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info), env_(info.Env()) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw error_with_code(info.Env(), "invalid-argument", "engines are opened with openEncoderDecoder or openDecoderOnly");
  }
}

void EngineObject::start(EngineThread::Open open_engine, const Deferred& deferred) {
  const Napi::Env env(env_);
  queue_ = CompletionQueue::New(env, "tandem engine", 0, 1, nullptr);
  const auto opened = [this, deferred](const std::optional<Failure>& failure, const EngineDescription& description) {
    complete([this, deferred, failure, description](Napi::Env env) {
      description_ = description;
      if (failure) {
        reject(env, deferred, *failure);
      } else {
        deferred.Resolve(Value());
      }
      let_go(env);
    });
  };
  const auto closed = [this] { complete([this](Napi::Env env) { finish(env); }); };
  hold(env);
  try {
    thread_ = std::make_unique<EngineThread>(std::move(open_engine), opened, closed);
  } catch (...) {
    let_go(env);
    queue_.Release();
    throw;
  }
  finished_ = false;
  // Registered after the queue's own hook, so it runs before the queue is torn down.
  napi_add_env_cleanup_hook(env_, environment_ends, this);
}

/** Collected without `dispose`: no task is pending then, for a pending one holds the object. */
EngineObject::~EngineObject() {
  *alive_ = false;
  if (finished_) return;
  napi_remove_env_cleanup_hook(env_, environment_ends, this);
  thread_.reset();
  queue_.Release();
}

void EngineObject::environment_ends(void* object) {
  auto* self = static_cast<EngineObject*>(object);
  self->thread_.reset();
  self->finished_ = true;
}

/** While a promise waits, the object must live and the event loop must go on. */
void EngineObject::hold(Napi::Env env) {
  Ref();
  if (pending_++ == 0) queue_.Ref(env);
}

void EngineObject::let_go(Napi::Env env) {
  if (--pending_ == 0 && !finished_) queue_.Unref(env);
  Unref();
}

void EngineObject::complete(Completion completion) const {
  // A collected object still has its thread's last words in the queue.
  auto owned = std::make_unique<Completion>([alive = alive_, completion = std::move(completion)](Napi::Env env) {
    if (*alive) completion(env);
  });
  if (queue_.NonBlockingCall(owned.get()) == napi_ok) owned.release();
}

/** The thread has done its last work. */
void EngineObject::finish(Napi::Env env) {
  thread_->join();
  finished_ = true;
  napi_remove_env_cleanup_hook(env_, environment_ends, this);
  queue_.Release();
  for (const auto& waiter : dispose_waiters_) {
    waiter.Resolve(env.Undefined());
    let_go(env);
  }
  dispose_waiters_.clear();
}

Napi::Value EngineObject::post(Napi::Env env, EngineThread::Task task, Resolve resolve) {
  const auto deferred = Deferred::New(env);
  if (finished_) {
    reject(env, deferred, {"disposed", "the model has been disposed"});
    return deferred.Promise();
  }
  hold(env);
  task.done = [this, deferred, resolve = std::move(resolve)](const std::optional<Failure>& failure) {
    complete([this, deferred, resolve, failure](Napi::Env env) {
      if (failure) {
        reject(env, deferred, *failure);
      } else {
        settle(env, deferred, resolve);
      }
      let_go(env);
    });
  };
  thread_->post(std::move(task));
  return deferred.Promise();
}

Napi::Value EngineObject::description(const Napi::CallbackInfo& info) {
  auto object = Napi::Object::New(info.Env());
  object.Set("vocabularySize", description_.vocabulary_size);
  object.Set("maxPositions", description_.max_positions);
  object.Set("maxSequences", description_.max_sequences);
  object.Set("hiddenSize", description_.hidden_size);
  object.Set("weightBytes", description_.weight_bytes);
  object.Set("device", description_.device);
  return object;
}

Napi::Value EngineObject::encode(const Napi::CallbackInfo& info) {
  const int32_t source = int32_number(info[0], "source");
  auto ids = int32_array(info[1], "ids");
  auto mask = uint8_array(info[2], "attentionMask");
  check_ids(info.Env(), ids, description_.vocabulary_size);
  if (ids.empty() || ids.size() != mask.size()) {
    throw error_with_code(info.Env(), "invalid-argument", "a source needs ids and a mask of the same length");
  }
  auto run = [source, ids = std::move(ids), mask = std::move(mask)](Engine& engine) { engine.encode(source, ids, mask); };
  return post(info.Env(), {int32_number(info[3], "call"), std::move(run), nullptr, nullptr},
              [](Napi::Env env) { return env.Undefined(); });
}

Napi::Value EngineObject::step(const Napi::CallbackInfo& info) {
  auto rows = step_rows(info[0], description_);
  auto request = step_request(info[1], count_outputs(rows, Output::distribution), description_);
  const auto step = std::make_shared<RequestedStep>(std::move(rows), std::move(request), description_.vocabulary_size);
  return post(info.Env(), {int32_number(info[2], "call"), nullptr, nullptr, step},
              [step](Napi::Env env) { return step_result(env, step->result()); });
}

Napi::Value EngineObject::choose(const Napi::CallbackInfo& info) {
  auto logits = std::make_shared<std::vector<float>>(float32_array(info[0], "logits"));
  const auto vocabulary = static_cast<size_t>(description_.vocabulary_size);
  if (logits->empty() || logits->size() % vocabulary != 0) {
    throw error_with_code(info.Env(), "invalid-argument", "logits must hold whole rows, at least one");
  }
  const size_t outputs = logits->size() / vocabulary;
  auto request = std::make_shared<StepRequest>(step_request(info[1], outputs, description_));
  auto result = std::make_shared<StepResult>();
  auto run = [logits, outputs, request, result, vocabulary](Engine&) {
    StepCollector collector(*request, outputs, vocabulary);
    for (size_t i = 0; i < outputs; ++i) collector.consider(i, logits->data() + i * vocabulary);
    *result = collector.take();
  };
  return post(info.Env(), {int32_number(info[2], "call"), std::move(run), nullptr, nullptr},
              [result](Napi::Env env) { return step_result(env, *result); });
}

Napi::Value EngineObject::release(const Napi::CallbackInfo& info) {
  auto sequences = int32_array(info[0], "sequences");
  auto sources = int32_array(info[1], "sources");
  auto run = [sequences = std::move(sequences), sources = std::move(sources)](Engine& engine) {
    engine.release(sequences, sources);
  };
  return post(info.Env(), {-1, std::move(run), nullptr, nullptr}, [](Napi::Env env) { return env.Undefined(); });
}

Napi::Value EngineObject::cancel(const Napi::CallbackInfo& info) {
  if (!finished_) thread_->cancel(int32_number(info[0], "call"));
  return info.Env().Undefined();
}

Napi::Value EngineObject::dispose(const Napi::CallbackInfo& info) {
  const auto deferred = Deferred::New(info.Env());
  if (finished_) {
    deferred.Resolve(info.Env().Undefined());
    return deferred.Promise();
  }
  hold(info.Env());
  dispose_waiters_.push_back(deferred);
  thread_->close();
  return deferred.Promise();
}

}  // namespace tandem::bind
