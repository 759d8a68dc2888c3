#include "engine/weights.h"

#include "engine/error.h"
#include "engine/packed_types.h"
#include "engine/weights_reader.h"

namespace tandem {

namespace {

std::string shape_text(const int64_t* shape, size_t dimensions) {
  std::string text = "[";
  for (size_t i = 0; i < dimensions; ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

/** What a tensor is packed as, if it is. */
std::optional<kernels::PackedShape> packed_shape(const TensorDescription& entry, const WeightsPlace& place) {
  const auto type = packed_type(entry.type);
  if (place.kernel_set == nullptr || entry.shape.size() != 2 || !type) return std::nullopt;
  return kernels::PackedShape{*type, static_cast<size_t>(entry.shape[0]), static_cast<size_t>(entry.shape[1])};
}

size_t packed_bytes(const std::vector<TensorDescription>& tensors, const WeightsPlace& place) {
  size_t bytes = 0;
  for (const auto& entry : tensors) {
    if (const auto shape = packed_shape(entry, place)) bytes += shape->bytes();
  }
  return bytes;
}

}  // namespace

bool is_matrix_type(ggml_type type) {
  switch (type) {
    case GGML_TYPE_F32:
    case GGML_TYPE_F16:
    case GGML_TYPE_BF16:
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q4_1:
    case GGML_TYPE_Q5_0:
    case GGML_TYPE_Q5_1:
    case GGML_TYPE_Q8_0:
    case GGML_TYPE_Q2_K:
    case GGML_TYPE_Q3_K:
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_IQ4_XS:
    case GGML_TYPE_MXFP4: return true;
    default: return false;
  }
}

Weights::Weights(const std::string& path, const std::vector<TensorDescription>& tensors, const WeightsPlace& place,
                 const CancelFlag& cancel)
    : context_(new_description_context(tensors.size())),
      packed_context_(new_description_context(tensors.size())),
      packed_memory_(packed_bytes(tensors, place)) {
  const Library& llama = library();
  std::vector<WeightsTarget> targets;
  for (const auto& entry : tensors) {
    auto* tensor = describe(entry, place);
    tensors_.emplace(entry.name, tensor);
    targets.push_back({entry, tensor, tensor->extra == nullptr ? nullptr : packed_.back().get()});
  }
  if (packed_.size() < tensors.size()) {
    buffer_ = allocate_tensors(context_.get(), llama.ggml_backend_dev_buffer_type(place.device), "the weights");
    llama.ggml_backend_buffer_set_usage(buffer_.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  }
  read_weights(path, targets, is_cpu(place.device) ? place.threads : 1, cancel);
}

ggml_tensor* Weights::describe(const TensorDescription& entry, const WeightsPlace& place) {
  const Library& llama = library();
  const auto shape = packed_shape(entry, place);
  auto* tensor = llama.ggml_new_tensor((shape ? packed_context_ : context_).get(), entry.type,
                                       static_cast<int>(entry.shape.size()), entry.shape.data());
  llama.ggml_set_name(tensor, entry.name.c_str());
  if (llama.ggml_nbytes(tensor) != entry.size) {
    throw EngineError("invalid-file", "tensor " + entry.name + " has " + std::to_string(entry.size) +
                                          " bytes in the file, but its shape needs " +
                                          std::to_string(llama.ggml_nbytes(tensor)));
  }
  if (shape) {
    packed_.push_back(std::make_unique<kernels::PackedMatrix>(*shape, packed_memory_.data() + packed_bytes_));
    packed_bytes_ += shape->bytes();
    tensor->extra = packed_.back().get();
  }
  return tensor;
}

ggml_tensor* Weights::require(const std::string& name, const std::vector<int64_t>& shape, Use use) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw EngineError("invalid-file", "the model has no tensor " + name);
  const ggml_type type = found->second->type;
  if (use == Use::vector ? type != GGML_TYPE_F32 : !is_matrix_type(type)) {
    throw EngineError("invalid-file", "tensor " + name + " has type " + library().ggml_type_name(type) +
                                          ", with which this cannot be computed");
  }
  for (size_t i = 0; i < GGML_MAX_DIMS; ++i) {
    if (found->second->ne[i] == (i < shape.size() ? shape[i] : 1)) continue;
    throw EngineError("invalid-file", "tensor " + name + " has shape " + shape_text(found->second->ne, GGML_MAX_DIMS) +
                                          ", expected " + shape_text(shape.data(), shape.size()));
  }
  return found->second;
}

size_t Weights::bytes() const {
  return packed_bytes_ + (buffer_ ? library().ggml_backend_buffer_get_size(buffer_.get()) : 0);
}

}  // namespace tandem
