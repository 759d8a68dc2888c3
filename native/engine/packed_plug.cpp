#include "engine/packed_plug.h"

#if defined(__linux__) && defined(__x86_64__)
#include <dlfcn.h>

#include <vector>

#include "engine/packed_buffer.h"

namespace tandem {

namespace {

using BufferTypes = std::vector<ggml_backend_buffer_type_t>;

/** What the CPU backend exports: it is the one of this processor, whose file name only ggml knows. */
struct CpuBackend {
  BufferTypes& (*buffer_types)() = nullptr;
  PackedBufferFunctions functions;
};

template <typename Function>
bool find(void* handle, const char* name, Function& target) {
  target = reinterpret_cast<Function>(dlsym(handle, name));
  return target != nullptr;
}

std::string find_backend(const Library& library, ggml_backend_dev_t cpu, CpuBackend& backend) {
  void* member = library.ggml_backend_reg_get_proc_address(library.ggml_backend_dev_backend_reg(cpu),
                                                           "ggml_backend_set_n_threads");
  Dl_info info;
  if (member == nullptr || dladdr(member, &info) == 0) return "the library of ggml's CPU backend cannot be found";
  // Open already, and kept so: the list will hold pointers of ours.
  void* handle = dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) return "the library of ggml's CPU backend cannot be opened again";
  if (find(handle, "_Z39ggml_backend_cpu_get_extra_buffer_typesv", backend.buffer_types) &&
      find(handle, "ggml_barrier", backend.functions.barrier) &&
      find(handle, "ggml_backend_buffer_init", backend.functions.buffer_init)) {
    return {};
  }
  return "ggml's CPU backend does not export its list of buffer types";
}

}  // namespace

std::string plug_packed_kernels(const Library& library, ggml_backend_dev_t cpu, const kernels::KernelSet& kernel_set) {
  CpuBackend backend;
  std::string obstacle = find_backend(library, cpu, backend);
  if (!obstacle.empty()) return obstacle;
  BufferTypes& types = backend.buffer_types();
  // Where the processor has AMX, ggml's type for it is in the list: ours would take its matrices away.
  std::string names;
  if (types.size() > 8) return "ggml's CPU backend has an unknown list of buffer types";
  for (auto* type : types) names += (names.empty() ? "" : ", ") + std::string(type->iface.get_name(type));
  if (names != "CPU_REPACK") return "ggml's CPU backend has the buffer types " + (names.empty() ? "none" : names);
  backend.functions.nbytes = library.ggml_nbytes;
  types.insert(types.begin(), packed_buffer_type(cpu, kernel_set, backend.functions));
  return {};
}

}  // namespace tandem

#else

namespace tandem {

std::string plug_packed_kernels(const Library&, ggml_backend_dev_t, const kernels::KernelSet&) {
  return "this system's ggml is left as it is";
}

}  // namespace tandem

#endif
