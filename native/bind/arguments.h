#pragma once
#include <napi.h>

#include <vector>

#include "engine/decoder_only.h"
#include "engine/encoder_decoder.h"
#include "sampling/step_collector.h"

namespace tandem::bind {

// TypeScript has interpreted and validated what arrives here. What is checked again is only what would otherwise read
// or write outside of memory. All throw a Napi::TypeError with the code `invalid-argument`.

Napi::Error error_with_code(Napi::Env env, const std::string& code, const std::string& message);
std::vector<int32_t> int32_array(const Napi::Value& value, const char* name);
std::vector<uint8_t> uint8_array(const Napi::Value& value, const char* name);
std::vector<float> float32_array(const Napi::Value& value, const char* name);
int32_t int32_number(const Napi::Value& value, const char* name);

/** The packed kernels of this name, null for `ggml`. */
const kernels::KernelSet* kernel_set(const Napi::Object& from, const char* name);
EncoderDecoderOptions encoder_decoder_options(const Napi::Value& value);
DecoderOnlyOptions decoder_only_options(const Napi::Value& value);
StepRows step_rows(const Napi::Value& value, const EngineDescription& engine);
StepRequest step_request(const Napi::Value& value, size_t outputs, const EngineDescription& engine);
/** Throws unless every id is in the vocabulary. */
void check_ids(Napi::Env env, const std::vector<int32_t>& ids, int32_t vocabulary_size);

}  // namespace tandem::bind
