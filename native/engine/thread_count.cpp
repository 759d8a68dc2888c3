#include "engine/thread_count.h"

#include <algorithm>
#include <cmath>

namespace tandem {

namespace {

/** Graphs between two trials at first; an idle machine, where trials change nothing, doubles it each time. */
constexpr int32_t first_interval = 16;
constexpr int32_t longest_interval = 512;
constexpr int32_t trial_graphs = 3;
/** So much slower than usual is no noise twice in a row, more often than every fourth time, or in a trial. */
constexpr double slow = 1.5;
constexpr int32_t slow_graph = 3;  // adds to the suspicion, from which every other graph takes one
constexpr int32_t slow_machine = 6;
/** A trial must win by more than noise. */
constexpr double better = 0.92;
/** Weight of one graph in the recent mean. */
constexpr double newest = 0.25;

}  // namespace

int32_t ThreadCount::of_graph(int64_t rows) {
  const auto size = static_cast<int32_t>(std::ilogb(static_cast<double>(std::max<int64_t>(1, rows))));
  Choice& choice = choices_.try_emplace(size, Choice{most_, 0, 0, first_interval, first_interval, -1, 0, 0}).first->second;
  current_ = &choice;
  if (most_ == 1) return 1;
  if (choice.tried == 0 && --choice.next_trial <= 0) begin_trial(choice);
  return choice.tried > 0 ? choice.count + choice.direction : choice.count;
}

void ThreadCount::begin_trial(Choice& choice) const {
  if (choice.count == 1) choice.direction = 1;
  if (choice.count == most_) choice.direction = -1;
  choice.tried = 1;
  choice.trial_pace = 0;
}

void ThreadCount::record(double pace) {
  Choice& choice = *current_;
  if (choice.tried > 0) {
    choice.trial_pace += pace;
    if (choice.tried == trial_graphs || pace > slow * choice.pace) end_trial(choice);
    else ++choice.tried;
    return;
  }
  if (choice.pace > 0 && pace > slow * choice.pace) {
    choice.suspicion += slow_graph;
    if (choice.suspicion >= slow_machine) begin_search(choice, pace);
    return;
  }
  choice.suspicion = std::max(0, choice.suspicion - 1);
  // The first graph of a size also pays for its memory.
  choice.pace = choice.pace == 0 || pace < choice.pace / slow ? pace : choice.pace + newest * (pace - choice.pace);
}

void ThreadCount::begin_search(Choice& choice, double pace) const {
  choice.suspicion = 0;
  choice.next_trial = 0;
  choice.direction = -1;
  choice.interval = first_interval;
  choice.pace = pace;
}

void ThreadCount::end_trial(Choice& choice) const {
  const double pace = choice.trial_pace / choice.tried;
  choice.tried = 0;
  if (pace < better * choice.pace) {
    choice.count += choice.direction;
    choice.pace = pace;
    choice.interval = first_interval;
    // What helped once may help again.
    choice.next_trial = trial_graphs;
    return;
  }
  choice.direction = -choice.direction;
  choice.interval = std::min(2 * choice.interval, longest_interval);
  choice.next_trial = choice.interval;
}

}  // namespace tandem
