#include "kernels/selection.h"

#include "kernels/instruction_sets.h"
#include "kernels/processor.h"

namespace tandem::kernels {

namespace {

std::vector<const KernelSet*> find_available() {
  std::vector<const KernelSet*> sets;
#if defined(TANDEM_PACKED_KERNELS)
  const Processor has = processor();
  if (has.has_avx512vnni) sets.push_back(&avx512vnni);
  if (has.has_avxvnni) sets.push_back(&avxvnni);
  if (has.has_avx2) sets.push_back(&avx2);
#endif
  return sets;
}

}  // namespace

const std::vector<const KernelSet*>& available_kernel_sets() {
  static const std::vector<const KernelSet*> sets = find_available();
  return sets;
}

const KernelSet* find_kernel_set(const std::string& name) {
  for (const auto* set : available_kernel_sets()) {
    if (name == set->name) return set;
  }
  return nullptr;
}

}  // namespace tandem::kernels
