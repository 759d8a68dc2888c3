#pragma once
#include <optional>
#include <string>

namespace tandem::shared_object {

/** Opens a shared library privately: its symbols bind to nobody else. Returns null and sets `reason` on failure. */
void* open(const std::string& path, std::string& reason);
void* symbol(void* handle, const char* name);

/** Real path of the folder of the first mapped library whose file name begins with `prefix`. */
std::optional<std::string> mapped_directory(const std::string& prefix);

}  // namespace tandem::shared_object
