#include "bind/vocabulary_object.h"

#include <functional>
#include <optional>

#include "bind/arguments.h"
#include "engine/failure.h"

namespace tandem::bind {

namespace {

/**
 * Work away from the JavaScript thread, and the promise of its result; both its functions may hold the vocabulary. On
 * libuv's few threads: a batch of a thousand texts starts no thousand threads.
 */
class Work : public Napi::AsyncWorker {
 public:
  using Run = std::function<void()>;
  using Resolve = std::function<Napi::Value(Napi::Env)>;

  static Napi::Value start(Napi::Env env, Run run, Resolve resolve) {
    auto* work = new Work(env, std::move(run), std::move(resolve));
    const auto promise = work->deferred_.Promise();
    work->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    failure_ = attempt(run_);
    run_ = nullptr;  // the last owner of a vocabulary frees it here rather than on the JavaScript thread
  }

  void OnOK() override {
    if (failure_) {
      deferred_.Reject(error_with_code(Env(), failure_->code, failure_->message).Value());
    } else {
      deferred_.Resolve(resolve_(Env()));
    }
  }

 private:
  Work(Napi::Env env, Run run, Resolve resolve)
      : AsyncWorker(env, "tandem vocabulary"),
        deferred_(Napi::Promise::Deferred::New(env)),
        run_(std::move(run)),
        resolve_(std::move(resolve)) {}

  Napi::Promise::Deferred deferred_;
  Run run_;
  Resolve resolve_;
  std::optional<Failure> failure_;
};

Napi::Value int32_values(Napi::Env env, const std::vector<int32_t>& values) {
  auto array = Napi::Int32Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

}  // namespace

std::string string(const Napi::Value& value, const char* name) {
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  throw error_with_code(value.Env(), "invalid-argument", std::string(name) + " must be a string");
}

Napi::Function VocabularyObject::define(Napi::Env env) {
  return DefineClass(env, "NativeVocabulary",
                     {InstanceAccessor<&VocabularyObject::description>("description"),
                      InstanceMethod<&VocabularyObject::tokenize>("tokenize"),
                      InstanceMethod<&VocabularyObject::detokenize>("detokenize"),
                      InstanceMethod<&VocabularyObject::dispose>("dispose")});
}

Napi::Value VocabularyObject::open(Napi::Env env, Napi::Function constructor, std::string path) {
  library();  // before any thread is started: there is nothing to load with
  const auto object = std::make_shared<Napi::ObjectReference>(
      Napi::Persistent(constructor.New({Napi::External<std::string>::New(env, &path)})));
  const auto loaded = std::make_shared<std::shared_ptr<Vocabulary>>();
  return Work::start(
      env, [loaded, path = std::move(path)] { *loaded = std::make_shared<Vocabulary>(path); },
      [object, loaded](Napi::Env) {
        Unwrap(object->Value())->vocabulary_ = *loaded;
        return object->Value();
      });
}

VocabularyObject::VocabularyObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (info.Length() == 1 && info[0].IsExternal()) return;
  throw error_with_code(info.Env(), "invalid-argument", "vocabularies are opened with openVocabulary");
}

const std::shared_ptr<Vocabulary>& VocabularyObject::vocabulary(Napi::Env env) const {
  if (!vocabulary_) throw error_with_code(env, "disposed", "the tokenizer has been disposed");
  return vocabulary_;
}

Napi::Value VocabularyObject::description(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto& description = vocabulary(env)->description();
  auto object = Napi::Object::New(env);
  object.Set("vocabularySize", description.vocabulary_size);
  object.Set("prefixIds", int32_values(env, description.prefix_ids));
  object.Set("suffixIds", int32_values(env, description.suffix_ids));
  object.Set("specialIds", int32_values(env, description.special_ids));
  object.Set("leftStrippingIds", int32_values(env, description.left_stripping_ids));
  object.Set("rightStrippingIds", int32_values(env, description.right_stripping_ids));
  object.Set("eosId", description.eos_id);
  object.Set("endOfGenerationIds", int32_values(env, description.end_of_generation_ids));
  return object;
}

Napi::Value VocabularyObject::tokenize(const Napi::CallbackInfo& info) {
  const auto ids = std::make_shared<std::vector<int32_t>>();
  const bool parse_special = info[1].ToBoolean();
  return Work::start(
      info.Env(),
      [vocabulary = vocabulary(info.Env()), text = string(info[0], "text"), parse_special, ids] {
        *ids = vocabulary->tokenize(text, parse_special);
      },
      [ids](Napi::Env env) { return int32_values(env, *ids); });
}

Napi::Value VocabularyObject::detokenize(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto ids = int32_array(info[0], "ids");
  const auto& known = vocabulary(env);
  check_ids(env, ids, known->description().vocabulary_size);
  const std::string text = known->detokenize(ids);
  auto bytes = Napi::Uint8Array::New(env, text.size());
  std::copy(text.begin(), text.end(), bytes.Data());
  return bytes;
}

Napi::Value VocabularyObject::dispose(const Napi::CallbackInfo& info) {
  if (vocabulary_) vocabulary_->close();
  return Work::start(
      info.Env(), [dying = std::move(vocabulary_)]() mutable { dying.reset(); },
      [](Napi::Env env) { return env.Undefined(); });
}

}  // namespace tandem::bind
