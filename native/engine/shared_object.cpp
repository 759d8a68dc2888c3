#include "engine/shared_object.h"

#include <filesystem>

#if defined(_WIN32)
#include <windows.h>
// After windows.h, which it needs.
#include <psapi.h>
#else
#include <dlfcn.h>
#endif
#if defined(__APPLE__)
#include <mach-o/dyld.h>
#elif !defined(_WIN32)
#include <link.h>
#endif

namespace tandem::shared_object {

namespace {

std::optional<std::string> directory_if_named(const std::string& path, const std::string& prefix) {
  const std::filesystem::path file(path);
  if (file.filename().string().rfind(prefix, 0) != 0) return std::nullopt;
  std::error_code unresolved;
  const auto real = std::filesystem::canonical(file, unresolved);
  return (unresolved ? file : real).parent_path().string();
}

}  // namespace

#if defined(_WIN32)

void* open(const std::string& path, std::string& reason) {
  const auto wide = std::filesystem::u8path(path).wstring();
  // The altered search path lets the library find its neighbours in its own folder.
  HMODULE handle = LoadLibraryExW(wide.c_str(), nullptr, LOAD_WITH_ALTERED_SEARCH_PATH);
  if (handle == nullptr) reason = path + ": Windows error " + std::to_string(GetLastError());
  return handle;
}

void* symbol(void* handle, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle), name));
}

std::optional<std::string> mapped_directory(const std::string& prefix) {
  HMODULE modules[4096];
  DWORD bytes = 0;
  if (!EnumProcessModules(GetCurrentProcess(), modules, sizeof(modules), &bytes)) return std::nullopt;
  for (DWORD i = 0; i < bytes / sizeof(HMODULE) && i < 4096; ++i) {
    wchar_t path[32768];
    if (GetModuleFileNameW(modules[i], path, 32768) == 0) continue;
    if (auto found = directory_if_named(std::filesystem::path(path).u8string(), prefix)) return found;
  }
  return std::nullopt;
}

#else

void* open(const std::string& path, std::string& reason) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* text = dlerror();
    reason = text == nullptr ? path : text;
  }
  return handle;
}

void* symbol(void* handle, const char* name) { return dlsym(handle, name); }

#if defined(__APPLE__)

std::optional<std::string> mapped_directory(const std::string& prefix) {
  for (uint32_t i = 0; i < _dyld_image_count(); ++i) {
    const char* path = _dyld_get_image_name(i);
    if (path == nullptr) continue;
    if (auto found = directory_if_named(path, prefix)) return found;
  }
  return std::nullopt;
}

#else

std::optional<std::string> mapped_directory(const std::string& prefix) {
  struct Search {
    const std::string& prefix;
    std::optional<std::string> found;
  } search{prefix, std::nullopt};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto* wanted = static_cast<Search*>(data);
        if (info->dlpi_name != nullptr) wanted->found = directory_if_named(info->dlpi_name, wanted->prefix);
        return wanted->found ? 1 : 0;
      },
      &search);
  return search.found;
}

#endif
#endif

}  // namespace tandem::shared_object
