#include "engine/joint_step.h"

#include <algorithm>

namespace tandem {

namespace {

template <typename Value>
void append(std::vector<Value>& all, const std::vector<Value>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

StepRows joint_rows(const std::vector<Step*>& steps) {
  StepRows joint;
  for (const auto* step : steps) {
    const StepRows& rows = step->rows();
    append(joint.sequences, rows.sequences);
    append(joint.parents, rows.parents);
    append(joint.positions, rows.positions);
    append(joint.sources, rows.sources);
    append(joint.token_counts, rows.token_counts);
    append(joint.tokens, rows.tokens);
    append(joint.outputs, rows.outputs);
  }
  return joint;
}

/** Hands every output on to the request that it belongs to. */
class JointReceiver : public OutputReceiver {
 public:
  explicit JointReceiver(const std::vector<Step*>& steps) {
    for (auto* step : steps) {
      parts_.push_back({&step->begin(), outputs_, hidden_states_});
      outputs_ += count_outputs(step->rows(), Output::distribution);
      hidden_states_ += count_outputs(step->rows(), Output::hidden_state);
    }
  }

  void receive(size_t output, float* logits) override {
    const Part& part = part_of(output, &Part::first_output);
    part.receiver->receive(output - part.first_output, logits);
  }

  void receive_hidden_state(size_t place, const float* state, size_t size) override {
    const Part& part = part_of(place, &Part::first_hidden_state);
    part.receiver->receive_hidden_state(place - part.first_hidden_state, state, size);
  }

 private:
  struct Part {
    OutputReceiver* receiver;
    size_t first_output;
    size_t first_hidden_state;
  };

  /** The last part that begins at or before `number`: those without any begin where the next one does. */
  const Part& part_of(size_t number, size_t Part::* first) const {
    const auto behind = std::upper_bound(parts_.begin(), parts_.end(), number,
                                         [=](size_t wanted, const Part& part) { return wanted < part.*first; });
    return *(behind - 1);
  }

  std::vector<Part> parts_;
  size_t outputs_ = 0;
  size_t hidden_states_ = 0;
};

}  // namespace

void compute_together(Engine& engine, const std::vector<Step*>& steps) {
  JointReceiver receiver(steps);
  engine.step(joint_rows(steps), receiver);
}

void compute_alone(Engine& engine, Step& step) {
  engine.step(step.rows(), step.begin());
  step.finish();
}

}  // namespace tandem
