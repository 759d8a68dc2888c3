// Chooses a number of threads for graph after graph. Each line of the input says what pace the next graph has on one thread,
// on two, and so on; the output is what was chosen.
#include "engine/thread_count.h"

#include <iostream>
#include <sstream>
#include <string>

int main(int, char** arguments) {
  const int most = std::stoi(arguments[1]);
  tandem::ThreadCount threads(most);
  for (std::string line; std::getline(std::cin, line);) {
    const int count = threads.of_graph(5);
    std::istringstream paces(line);
    double pace = 0;
    for (int i = 0; i < count; ++i) paces >> pace;
    threads.record(pace);
    std::cout << count << ' ';
  }
}
