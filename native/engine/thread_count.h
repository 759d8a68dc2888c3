#pragma once
#include <cstdint>
#include <map>
#include <vector>

namespace tandem {

/**
 * How many threads compute the next graph: as many as have proved fastest lately. Threads of a graph wait for each other
 * after every node, some hundred times a step. One that another program, or JavaScript of this one, has pushed off its core
 * holds up all of them, and a step takes five to a hundred times as long; but the large nodes of a batch are shared out in
 * pieces, and half a core more is half a core more. No figure of the system tells the two apart, so both are tried: now and
 * then, and at once when graphs become slow, a few graphs run on one thread more or less.
 */
class ThreadCount {
 public:
  explicit ThreadCount(int32_t most) : most_(most) {}

  /** Threads for a graph whose products have so many rows; graphs of about that size have a choice of their own. */
  int32_t of_graph(int64_t rows);
  /** The graph that was asked for last took so long for each unit of its work. */
  void record(double pace);

 private:
  struct Choice {
    int32_t count;
    double pace = 0;         // recent mean of those that were not slow; 0 before the first graph
    int32_t suspicion = 0;   // that the machine has become busy
    int32_t next_trial = 0;  // graphs until then
    int32_t interval = 0;    // graphs between trials that change nothing
    int32_t direction = -1;  // of the next trial
    int32_t tried = 0;       // graphs of the trial under way; 0: none
    double trial_pace = 0;   // their sum
  };
  void begin_trial(Choice& choice) const;
  /** The machine has become slow: `pace` is what fewer threads must beat. */
  void begin_search(Choice& choice, double pace) const;
  void end_trial(Choice& choice) const;

  const int32_t most_;
  std::map<int32_t, Choice> choices_;  // by the binary logarithm of the rows
  Choice* current_ = nullptr;
};

}  // namespace tandem
