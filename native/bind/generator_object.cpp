#include "bind/generator_object.h"

#include "bind/arguments.h"
#include "bind/environment.h"

namespace tandem::bind {

Napi::Function GeneratorObject::define(Napi::Env env) { return DefineClass(env, "NativeGenerator", {}); }

GeneratorObject::GeneratorObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), generator_(std::make_shared<TorchGenerator>(info[0].ToNumber().Uint32Value())) {}

std::shared_ptr<TorchGenerator> generator_of(const Napi::Value& value) {
  const auto env = value.Env();
  const auto constructor = env.GetInstanceData<Environment>()->generator.Value();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(constructor)) {
    throw error_with_code(env, "invalid-argument", "generator must come from createGenerator");
  }
  return GeneratorObject::Unwrap(value.As<Napi::Object>())->generator();
}

}  // namespace tandem::bind
