// The number of threads for each of the graphs whose losses of cores are the arguments behind the largest number.
#include "engine/thread_count.h"

#include <cstdio>
#include <cstdlib>

int main(int count, char** arguments) {
  tandem::ThreadCount threads(std::atoi(arguments[1]));
  auto now = tandem::ThreadCount::Clock::time_point{} + std::chrono::hours(1);
  for (int i = 2; i < count; ++i) {
    std::printf("%d ", threads.at(now));
    const auto end = now + std::chrono::milliseconds(10);
    threads.record(now, end, std::atoi(arguments[i]));
    now = end;
  }
}
