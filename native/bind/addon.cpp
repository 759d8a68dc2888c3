#include <napi.h>

#include <system_error>

#include "bind/background_task.h"
#include "bind/engine_object.h"
#include "bind/environment.h"
#include "bind/generator_object.h"
#include "bind/vocabulary_object.h"
#include "engine/encoder_decoder.h"
#include "engine/error.h"
#include "engine/matrix_product.h"
#include "engine/read_bandwidth.h"
#include "engine/row_conversion.h"
#include "engine/running_thread.h"
#include "kernels/selection.h"

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
    tandem::load_library({text("variant"), text("directory"), text("ggmlBase"), text("ggml"), text("llama")},
                         kernel_set(files, "kernels"));
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

ggml_type type_number(const Napi::Object& options, const char* name) {
  const int32_t number = int32_number(options.Get(name), name);
  if (number >= 0 && number < GGML_TYPE_COUNT) return static_cast<ggml_type>(number);
  throw EngineError("invalid-argument", std::string(name) + " is no ggml type");
}

Napi::Value convert_rows(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto options = info[1].ToObject();
  return guarded(env, [&] {
    const auto source = std::make_shared<std::vector<uint8_t>>(uint8_array(info[0], "source"));
    const RowConversion conversion{type_number(options, "from"), type_number(options, "to"),
                                   int32_number(options.Get("rowLength"), "rowLength"),
                                   int32_number(options.Get("threads"), "threads")};
    check_conversion(conversion, source->size());
    const auto rows = std::make_shared<std::vector<uint8_t>>();
    return run_in_background(
        env, [=](const CancelFlag& cancel) { *rows = tandem::convert_rows(*source, conversion, cancel); },
        [rows](Napi::Env env) {
          auto array = Napi::Uint8Array::New(env, rows->size());
          std::copy(rows->begin(), rows->end(), array.Data());
          return array;
        });
  });
}

Napi::Value kernels(const Napi::CallbackInfo& info) {
  auto names = Napi::Array::New(info.Env());
  for (const auto* set : kernels::available_kernel_sets()) names.Set(names.Length(), set->name);
  return names;
}

Napi::Value libllama_kernels(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  return guarded(env, [&] {
    const auto& found = tandem::libllama_kernels();
    auto report = Napi::Object::New(env);
    report.Set("kernels", found.kernel_set == nullptr ? "ggml" : found.kernel_set->name);
    report.Set("reason", found.kernel_set == nullptr ? Napi::Value(Napi::String::New(env, found.reason)) : env.Null());
    return report;
  });
}

Napi::Value multiply_matrix(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto options = info[2].ToObject();
  return guarded(env, [&] {
    const auto product = std::make_shared<const MatrixProduct>(
        MatrixProduct{uint8_array(info[0], "weights"), float32_array(info[1], "activations"),
                      int32_number(options.Get("inputs"), "inputs"), type_number(options, "type"),
                      kernel_set(options, "kernels"),
                      int32_number(options.Get("threads"), "threads")});
    check_product(*product);
    const auto result = std::make_shared<std::vector<float>>();
    return run_in_background(
        env, [=](const CancelFlag& cancel) { *result = tandem::multiply_matrix(*product, cancel); },
        [result](Napi::Env env) {
          auto array = Napi::Float32Array::New(env, result->size());
          std::copy(result->begin(), result->end(), array.Data());
          return array;
        });
  });
}

Napi::Value measure_read_bandwidth(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  return guarded(env, [&] {
    const int32_t mebibytes = int32_number(info[0], "mebibytes");
    const int32_t threads = int32_number(info[1], "threads");
    if (mebibytes < 1) throw EngineError("invalid-argument", "there is no memory to read");
    const auto bandwidth = std::make_shared<double>(0);
    return run_in_background(
        env,
        [=](const CancelFlag& cancel) { *bandwidth = tandem::read_bandwidth(size_t(mebibytes) << 20, threads, cancel); },
        [bandwidth](Napi::Env env) { return Napi::Number::New(env, *bandwidth); });
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

Napi::Value open_vocabulary(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return VocabularyObject::open(info.Env(), info.Env().GetInstanceData<Environment>()->vocabulary.Value(),
                                  string(info[0], "path"));
  });
}

Napi::Value end_threads(const Napi::CallbackInfo& info) {
  end_running_threads();
  return info.Env().Undefined();
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment;
  environment->engine = Napi::Persistent(EngineObject::define(env));
  environment->generator = Napi::Persistent(GeneratorObject::define(env));
  environment->vocabulary = Napi::Persistent(VocabularyObject::define(env));
  env.SetInstanceData(environment);
  exports.Set("llamaRelease", TANDEM_LLAMA_RELEASE);
  exports.Set("mappedLibrary", Napi::Function::New(env, mapped_library));
  exports.Set("loadLibrary", Napi::Function::New(env, load_library));
  exports.Set("probeLibrary", Napi::Function::New(env, probe_library));
  exports.Set("devices", Napi::Function::New(env, devices));
  exports.Set("convertRows", Napi::Function::New(env, convert_rows));
  exports.Set("kernels", Napi::Function::New(env, kernels));
  exports.Set("libllamaKernels", Napi::Function::New(env, libllama_kernels));
  exports.Set("multiplyMatrix", Napi::Function::New(env, multiply_matrix));
  exports.Set("measureReadBandwidth", Napi::Function::New(env, measure_read_bandwidth));
  exports.Set("openEncoderDecoder", Napi::Function::New(env, open_encoder_decoder));
  exports.Set("openDecoderOnly", Napi::Function::New(env, open_decoder_only));
  exports.Set("createGenerator", Napi::Function::New(env, create_generator));
  exports.Set("openVocabulary", Napi::Function::New(env, open_vocabulary));
  exports.Set("endThreads", Napi::Function::New(env, end_threads));
  return exports;
}

}  // namespace

}  // namespace tandem::bind

namespace {

Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) { return tandem::bind::initialize(env, exports); }

}  // namespace

NODE_API_MODULE(tandem, initialize_addon)
