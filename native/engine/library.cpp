#include "engine/library.h"

#include <atomic>
#include <mutex>
#include <sstream>
#include <utility>

#include "engine/error.h"
#include "engine/packed_plug.h"
#include "engine/shared_object.h"

namespace tandem {

namespace {

// Process-wide on purpose: Node opens an addon once per process however many environments use it, and llama.cpp's
// device registry is process-wide as well.
std::mutex loading;
std::atomic<const Library*> loaded{nullptr};
LibraryFiles loaded_files;
LibllamaKernels plugged;

thread_local std::string thread_log;

/** Whether a host brought llama.cpp into this process before we opened any of it. */
bool host_was_first() {
  static const bool mapped_at_first_question = mapped_library().has_value();
  return mapped_at_first_question;
}

void remember_log(ggml_log_level level, const char* text, void*) {
  constexpr size_t enough = 4096;  // the first complaint names the cause; what follows repeats it
  static thread_local bool complaint = false;
  if (level != GGML_LOG_LEVEL_CONT) complaint = level == GGML_LOG_LEVEL_ERROR || level == GGML_LOG_LEVEL_WARN;
  if (complaint && thread_log.size() < enough) thread_log += text;
}

void* open_or_throw(const std::string& path) {
  std::string reason;
  void* handle = shared_object::open(path, reason);
  if (handle == nullptr) throw EngineError("library-missing", "cannot open " + path + ": " + reason);
  return handle;
}

template <typename Function>
void look_up(void* handle, const std::string& path, const char* name, Function& target) {
  target = reinterpret_cast<Function>(shared_object::symbol(handle, name));
  if (target == nullptr) throw EngineError("library-mismatch", path + " does not export " + name);
}

void refuse_foreign_library(const LibraryFiles& files) {
  const auto mapped = mapped_library();
  if (!mapped || *mapped == files.directory) return;
  throw EngineError("library-conflict", "this process has already mapped llama.cpp from " + *mapped +
                                            ", so the libraries in " + files.directory + " cannot be opened beside it");
}

Library* open_library(const LibraryFiles& files) {
  auto* table = new Library;
  try {
    void* base = open_or_throw(files.ggml_base);
#define TANDEM_LOOK_UP(name) look_up(base, files.ggml_base, #name, table->name);
    TANDEM_GGML_BASE_FUNCTIONS(TANDEM_LOOK_UP)
#undef TANDEM_LOOK_UP
    void* ggml = open_or_throw(files.ggml);
#define TANDEM_LOOK_UP(name) look_up(ggml, files.ggml, #name, table->name);
    TANDEM_GGML_FUNCTIONS(TANDEM_LOOK_UP)
#undef TANDEM_LOOK_UP
    void* llama = open_or_throw(files.llama);
#define TANDEM_LOOK_UP(name) look_up(llama, files.llama, #name, table->name);
    TANDEM_LLAMA_FUNCTIONS(TANDEM_LOOK_UP)
#undef TANDEM_LOOK_UP
    return table;
  } catch (...) {
    delete table;
    throw;
  }
}

const char* type_name(enum ggml_backend_dev_type type) {
  switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return "igpu";
    default: return "accelerator";
  }
}

}  // namespace

void load_library(const LibraryFiles& files, const kernels::KernelSet* kernel_set) {
  std::lock_guard<std::mutex> lock(loading);
  if (loaded.load() != nullptr) {
    if (loaded_files.directory == files.directory) return;
    throw EngineError("library-conflict", "this process already runs llama.cpp's " + loaded_files.variant +
                                              " variant, so its " + files.variant + " variant cannot be opened");
  }
  refuse_foreign_library(files);
  const bool host_configures_log = host_was_first();
  Library* table = open_library(files);
  if (!host_configures_log) {
    table->ggml_log_set(remember_log, nullptr);
    table->llama_log_set(remember_log, nullptr);
  }
  const bool host_loaded_backends = table->ggml_backend_dev_count() != 0;
  if (!host_loaded_backends) table->ggml_backend_load_all_from_path(files.directory.c_str());
  auto* cpu = table->ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == nullptr) {
    delete table;
    throw EngineError("library-missing", "no CPU backend in " + files.directory + " runs on this processor");
  }
  // The list of buffer types may change only while nobody can have a CPU context or have asked for the list.
  if (host_configures_log || host_loaded_backends) plugged.reason = "another library loaded llama.cpp first";
  else if (kernel_set == nullptr) plugged.reason = "no kernels of ours were chosen";
  else plugged.reason = plug_packed_kernels(*table, cpu, *kernel_set);
  if (plugged.reason.empty()) plugged.kernel_set = kernel_set;
  table->llama_backend_init();
  loaded_files = files;
  loaded.store(table);
}

const Library& library() {
  const Library* table = loaded.load(std::memory_order_acquire);
  if (table == nullptr) throw EngineError("library-missing", "llama.cpp has not been loaded");
  return *table;
}

const LibllamaKernels& libllama_kernels() {
  library();
  return plugged;
}

std::optional<std::string> mapped_library() {
#if defined(_WIN32)
  return shared_object::mapped_directory("ggml-base");
#else
  return shared_object::mapped_directory("libggml-base");
#endif
}

std::optional<std::string> probe_library(const std::string& path) {
  host_was_first();
  std::string reason;
  // Never closed: libggml-base registers a terminate handler when it is mapped and asserts that it is the first to do so.
  if (shared_object::open(path, reason) == nullptr) return reason;
  return std::nullopt;
}

std::vector<Device> devices() {
  const Library& llama = library();
  std::vector<Device> found;
  for (size_t i = 0; i < llama.ggml_backend_dev_count(); ++i) {
    auto* device = llama.ggml_backend_dev_get(i);
    Device entry{llama.ggml_backend_dev_name(device),
                 llama.ggml_backend_dev_description(device),
                 type_name(llama.ggml_backend_dev_type(device)),
                 llama.ggml_backend_reg_name(llama.ggml_backend_dev_backend_reg(device)),
                 0,
                 0};
    llama.ggml_backend_dev_memory(device, &entry.memory_free, &entry.memory_total);
    found.push_back(std::move(entry));
  }
  return found;
}

ggml_backend_dev_t device_named(const std::string& name) {
  const Library& llama = library();
  std::string offered;
  for (size_t i = 0; i < llama.ggml_backend_dev_count(); ++i) {
    auto* device = llama.ggml_backend_dev_get(i);
    if (name == llama.ggml_backend_dev_name(device)) return device;
    offered += (offered.empty() ? "" : ", ") + std::string(llama.ggml_backend_dev_name(device));
  }
  throw EngineError("device-unavailable", "there is no device " + name + "; this process has " + offered);
}

bool is_cpu(ggml_backend_dev_t device) {
  return library().ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU;
}

std::string take_log(const std::string& known) {
  std::string text;
  std::istringstream lines(std::exchange(thread_log, ""));
  for (std::string line; std::getline(lines, line);) {
    if (known.empty() || line.find(known) == std::string::npos) text += line + '\n';
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (auto& character : text) {
    if (character == '\n') character = ' ';
  }
  return text;
}

}  // namespace tandem
