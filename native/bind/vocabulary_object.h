#pragma once
#include <napi.h>

#include <memory>
#include <string>

#include "engine/vocabulary.h"

namespace tandem::bind {

/** Throws `invalid-argument` for anything but a string. */
std::string string(const Napi::Value& value, const char* name);

/**
 * `NativeVocabulary` in src/native/addon.ts. It has no thread of its own: every text gets one that fits it, and what still
 * works on a text keeps the vocabulary alive.
 */
class VocabularyObject : public Napi::ObjectWrap<VocabularyObject> {
 public:
  static Napi::Function define(Napi::Env env);
  /** The promise resolves with the object once the vocabulary is loaded. */
  static Napi::Value open(Napi::Env env, Napi::Function constructor, std::string path);

  explicit VocabularyObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value description(const Napi::CallbackInfo& info);
  Napi::Value tokenize(const Napi::CallbackInfo& info);
  Napi::Value detokenize(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  const std::shared_ptr<Vocabulary>& vocabulary(Napi::Env env) const;

  std::shared_ptr<Vocabulary> vocabulary_;  // none before it is loaded and after `dispose`
};

}  // namespace tandem::bind
