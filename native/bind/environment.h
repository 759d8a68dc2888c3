#pragma once
#include <napi.h>

namespace tandem::bind {

/** What one environment (the main thread, a worker, an Electron context) holds; nothing of it is shared. */
struct Environment {
  Napi::FunctionReference engine;
  Napi::FunctionReference generator;
  Napi::FunctionReference vocabulary;
};

}  // namespace tandem::bind
