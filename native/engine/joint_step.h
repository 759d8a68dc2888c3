#pragma once
#include <vector>

#include "engine/engine.h"

namespace tandem {

/** A step of one request, which may be computed together with those of others. */
class Step {
 public:
  virtual ~Step() = default;
  virtual const StepRows& rows() const = 0;
  /** Who receives what is computed; another try begins anew. */
  virtual OutputReceiver& begin() = 0;
  /** All has been received; what is random is drawn now, so only once. */
  virtual void finish() = 0;
};

/** Computes steps as one, so that the weights are read once for all of them. Fails as a whole; finishes none. */
void compute_together(Engine& engine, const std::vector<Step*>& steps);
/** Computes and finishes one. */
void compute_alone(Engine& engine, Step& step);

}  // namespace tandem
