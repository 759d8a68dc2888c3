#pragma once
#include "kernels/kernel_set.h"

namespace tandem::kernels {

// Each in the file of its name, which alone is compiled for its instructions.
extern const KernelSet avx2;
extern const KernelSet avxvnni;
extern const KernelSet avx512vnni;

}  // namespace tandem::kernels
