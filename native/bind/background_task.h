#pragma once
#include <napi.h>

#include <functional>

#include "engine/engine.h"

namespace tandem::bind {

/** Runs on a thread of its own. What it throws rejects the promise. */
using BackgroundWork = std::function<void(const CancelFlag&)>;
/** Makes the value that the promise resolves with, on the JavaScript thread. */
using BackgroundResult = std::function<Napi::Value(Napi::Env)>;

/**
 * Work on a thread of its own, neither JavaScript's nor one of libuv's few, whose result settles a promise. An
 * environment that ends cancels the work and waits for it.
 */
Napi::Value run_in_background(Napi::Env env, BackgroundWork work, BackgroundResult result);

}  // namespace tandem::bind
