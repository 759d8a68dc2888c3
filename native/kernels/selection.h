#pragma once
#include <string>
#include <vector>

#include "kernels/kernel_set.h"

namespace tandem::kernels {

/** The sets that this processor and its system can run, the fastest first. */
const std::vector<const KernelSet*>& available_kernel_sets();
/** Null when there is no such set here. */
const KernelSet* find_kernel_set(const std::string& name);

}  // namespace tandem::kernels
