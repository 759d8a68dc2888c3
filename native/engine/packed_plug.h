#pragma once
#include <string>

#include "engine/library.h"

namespace tandem {

/**
 * Adds a buffer type for packed matrices to ggml's CPU backend, through the list that its own repacked and AMX types
 * are in: libllama then packs the weights it loads, and the backend's threads multiply with `kernel_set`. Only before
 * anybody has a CPU context or has asked for the list. The reason if it was not done, in which case nothing has changed.
 */
std::string plug_packed_kernels(const Library& library, ggml_backend_dev_t cpu, const kernels::KernelSet& kernel_set);

}  // namespace tandem
