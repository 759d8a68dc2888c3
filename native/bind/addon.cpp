#include <napi.h>

#include <system_error>

#include "bind/engine_object.h"
#include "bind/environment.h"
#include "bind/generator_object.h"
#include "engine/encoder_decoder.h"
#include "engine/error.h"

namespace tandem::bind {

namespace {

/** Runs `work`; no C++ exception crosses into JavaScript as anything but an Error with a code. */
template <typename Work>
Napi::Value guarded(Napi::Env env, Work work) {
  try {
    return work();
  } catch (const EngineError& error) {
    throw error_with_code(env, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    throw error_with_code(env, "out-of-memory", "not enough memory");
  } catch (const std::system_error& error) {
    throw error_with_code(env, "out-of-memory", std::string("the system refuses more threads or files: ") + error.what());
  }
}

Napi::Value mapped_library(const Napi::CallbackInfo& info) {
  const auto directory = tandem::mapped_library();
  if (!directory) return info.Env().Null();
  return Napi::String::New(info.Env(), *directory);
}

Napi::Value load_library(const Napi::CallbackInfo& info) {
  const auto files = info[0].ToObject();
  const auto text = [&](const char* name) { return files.Get(name).ToString().Utf8Value(); };
  return guarded(info.Env(), [&] {
    tandem::load_library({text("variant"), text("directory"), text("ggmlBase"), text("ggml"), text("llama")});
    return info.Env().Undefined();
  });
}

Napi::Value probe_library(const Napi::CallbackInfo& info) {
  const auto reason = tandem::probe_library(info[0].ToString().Utf8Value());
  if (!reason) return info.Env().Null();
  return Napi::String::New(info.Env(), *reason);
}

Napi::Value devices(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  return guarded(env, [&] {
    auto list = Napi::Array::New(env);
    for (const auto& device : tandem::devices()) {
      auto entry = Napi::Object::New(env);
      entry.Set("name", device.name);
      entry.Set("description", device.description);
      entry.Set("type", device.type);
      entry.Set("backend", device.backend);
      entry.Set("memoryFree", static_cast<double>(device.memory_free));
      entry.Set("memoryTotal", static_cast<double>(device.memory_total));
      list.Set(list.Length(), entry);
    }
    return list;
  });
}

std::vector<float> as_floats(const std::vector<uint8_t>& source, ggml_type from) {
  const Library& llama = library();
  std::vector<float> values(source.size() / llama.ggml_row_size(from, 1));
  const auto count = static_cast<int64_t>(values.size());
  if (from == GGML_TYPE_F32) std::copy_n(source.data(), source.size(), reinterpret_cast<uint8_t*>(values.data()));
  if (from == GGML_TYPE_F16) {
    llama.ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t*>(source.data()), values.data(), count);
  }
  if (from == GGML_TYPE_BF16) {
    llama.ggml_bf16_to_fp32_row(reinterpret_cast<const ggml_bf16_t*>(source.data()), values.data(), count);
  }
  return values;
}

Napi::Value convert_rows(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Library& llama = library();
    const auto source = uint8_array(info[0], "source");
    const auto from = static_cast<ggml_type>(int32_number(info[1], "from"));
    const auto to = static_cast<ggml_type>(int32_number(info[2], "to"));
    const int32_t row_length = int32_number(info[3], "rowLength");
    const bool known = (from == GGML_TYPE_F32 || from == GGML_TYPE_F16 || from == GGML_TYPE_BF16) &&
                       (to == GGML_TYPE_F32 || to == GGML_TYPE_F16 || to == GGML_TYPE_BF16 || to == GGML_TYPE_Q8_0);
    if (!known || row_length <= 0 || row_length % llama.ggml_blck_size(to) != 0 ||
        source.size() % llama.ggml_row_size(from, row_length) != 0) {
      throw EngineError("invalid-argument", "rows of this length cannot be converted between these types");
    }
    const auto values = as_floats(source, from);
    const auto rows = static_cast<int64_t>(values.size()) / row_length;
    auto target = Napi::Uint8Array::New(env, static_cast<size_t>(rows) * llama.ggml_row_size(to, row_length));
    if (to == GGML_TYPE_F32) {
      std::copy_n(reinterpret_cast<const uint8_t*>(values.data()), target.ElementLength(), target.Data());
    } else {
      llama.ggml_quantize_chunk(to, values.data(), target.Data(), 0, rows, row_length, nullptr);
    }
    return target;
  });
}

Napi::Value open_encoder_decoder(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto options = encoder_decoder_options(info[0]);
    return EngineObject::open(info.Env(), info.Env().GetInstanceData<Environment>()->engine.Value(),
                              [options](const CancelFlag& cancel) { return std::make_unique<EncoderDecoder>(options, cancel); });
  });
}

Napi::Value open_decoder_only(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto options = decoder_only_options(info[0]);
    return EngineObject::open(info.Env(), info.Env().GetInstanceData<Environment>()->engine.Value(),
                              [options](const CancelFlag& cancel) { return std::make_unique<DecoderOnly>(options, cancel); });
  });
}

Napi::Value create_generator(const Napi::CallbackInfo& info) {
  return info.Env().GetInstanceData<Environment>()->generator.Value().New({info[0]});
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment;
  environment->engine = Napi::Persistent(EngineObject::define(env));
  environment->generator = Napi::Persistent(GeneratorObject::define(env));
  env.SetInstanceData(environment);
  exports.Set("llamaRelease", TANDEM_LLAMA_RELEASE);
  exports.Set("mappedLibrary", Napi::Function::New(env, mapped_library));
  exports.Set("loadLibrary", Napi::Function::New(env, load_library));
  exports.Set("probeLibrary", Napi::Function::New(env, probe_library));
  exports.Set("devices", Napi::Function::New(env, devices));
  exports.Set("convertRows", Napi::Function::New(env, convert_rows));
  exports.Set("openEncoderDecoder", Napi::Function::New(env, open_encoder_decoder));
  exports.Set("openDecoderOnly", Napi::Function::New(env, open_decoder_only));
  exports.Set("createGenerator", Napi::Function::New(env, create_generator));
  return exports;
}

}  // namespace

}  // namespace tandem::bind

namespace {

Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) { return tandem::bind::initialize(env, exports); }

}  // namespace

NODE_API_MODULE(tandem, initialize_addon)
