// A module made with pybind11, for use_pybind11.py: callbacks from threads of C++,
// exceptions that go through both languages, thread-locals, condition variables.

#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace py = pybind11;

// Call f(thread, i) from so many threads of C++, so often each.  Return the sum of
// what it returns, or throw what the first thread caught, whose others go on.
static long
call_from_threads(const py::function &f, int nthreads, int calls)
{
    std::atomic<long> sum{0};
    std::mutex mutex;
    std::exception_ptr first;
    {
        py::gil_scoped_release release;
        std::vector<std::thread> threads;
        for (int t = 0; t < nthreads; t++) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < calls; i++) {
                    py::gil_scoped_acquire acquire;
                    try {
                        sum += f(t, i).cast<long>();
                    }
                    catch (...) {
                        py::gil_scoped_release unlocked;
                        std::lock_guard<std::mutex> guard(mutex);
                        if (!first) {
                            first = std::current_exception();
                        }
                    }
                }
            });
        }
        for (auto &thread : threads) {
            thread.join();
        }
    }
    if (first) {
        std::rethrow_exception(first);
    }
    return sum;
}

// What a task of std::async() throws.
static void
throw_in_task(const std::string &text)
{
    py::gil_scoped_release release;
    std::async(std::launch::async, [&text] {
        throw std::runtime_error(text);
    }).get();
}

// Call f() and, while its exception is being handled, let other threads handle
// theirs.  Return what the exception said before and after.
static std::vector<std::string>
while_caught(const py::function &f)
{
    try {
        throw std::runtime_error(f().cast<std::string>());
    }
    catch (const std::exception &) {
        std::vector<std::string> said;
        for (int i = 0; i < 3; i++) {
            try {
                throw;
            }
            catch (const std::exception &e) {
                said.push_back(e.what());
            }
            py::gil_scoped_release release;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        return said;
    }
}

static std::atomic<int> begun{0}, ended{0};

struct Local {
    int count = 0;
    Local() { begun++; }
    ~Local() { ended++; }
};
static thread_local Local local;

static std::mutex turn_mutex;
static std::condition_variable turn_changed;
static int turn = 0;

// Wait until it is the turn of `mine`, and give it to the next of `n`.
static void
take_turn(int mine, int n)
{
    py::gil_scoped_release release;
    std::unique_lock<std::mutex> lock(turn_mutex);
    turn_changed.wait(lock, [mine] { return turn == mine; });
    turn = (turn + 1) % n;
    turn_changed.notify_all();
}

PYBIND11_MODULE(pybind11_threads, m)
{
    m.def("call_from_threads", &call_from_threads);
    m.def("throw_in_task", &throw_in_task);
    m.def("while_caught", &while_caught);
    m.def("count", [] { return ++local.count; });
    m.def("locals", [] { return std::make_pair(begun.load(), ended.load()); });
    m.def("take_turn", &take_turn);
}
