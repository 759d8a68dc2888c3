#pragma once
#include <napi.h>

#include <memory>

#include "sampling/torch_generator.h"

namespace tandem::bind {

/** `NativeGenerator` in src/native/addon.ts: JavaScript only holds it, the engine's thread draws from it. */
class GeneratorObject : public Napi::ObjectWrap<GeneratorObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit GeneratorObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<TorchGenerator>& generator() const { return generator_; }

 private:
  std::shared_ptr<TorchGenerator> generator_;
};

/** Throws a Napi::TypeError `invalid-argument` for anything but a generator of this addon. */
std::shared_ptr<TorchGenerator> generator_of(const Napi::Value& value);

}  // namespace tandem::bind
