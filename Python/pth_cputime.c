// GNU Pth backend: the processor time of a thread.
//
// The kernel counts that of a kernel thread, which may have run several threads.
// So what it has counted is given to one of them whenever another one begins to
// run there.  But a hand-off makes no system call: until somebody asks for the
// time of a thread, what the carrier has used since the monitor looked last is
// given to the thread that it finds there.

#include "pth_syscalls.h"

#include <sys/resource.h>         // getrusage()
#include <sys/syscall.h>
#include <time.h>

char _PyPth_counts_all = 0;
char _PyPth_counts_once = 1;

// The clock of a kernel thread, as pthread_getcpuclockid(3) returns it (Linux,
// include/linux/posix-timers_types.h).
#define IS_THREAD_CLOCK(clock) ((clock) < 0 && ((clock) & 7) == 6)
#define CLOCK_OF(tid) ((clockid_t)(~(unsigned int)(tid) << 3 | 6))
#define TID_OF(clock) ((pid_t)~((clock) >> 3))

void
_PyPth_Count(_PyPth_thread *kernel, _PyPth_thread *next)
{
    int err = errno;
    struct timespec ts;
    if (_PyPth_Sys(SYS_clock_gettime, CLOCK_OF(kernel->tid), &ts) == 0) {
        PyTime_t now = _PyPth_FromTimespec(&ts);
        kernel->counts_for->used += now - kernel->given;
        kernel->given = now;
    }
    kernel->counts_for = next;
    errno = err;
}

// That of the thread, in nanoseconds.  Locked.
static PyTime_t
time_of(_PyPth_thread *thread)
{
    _PyPth_thread *kernel = _PyPth_KernelOf(thread);
    if (kernel->counts_for == thread) {
        _PyPth_Count(kernel, thread);
    }
    return thread->used;
}

// That of the Python thread whose own kernel thread this is (0: the calling
// one).  Return -1 if the kernel has to be asked.
static PyTime_t
ask(pid_t tid)
{
    if (!_PyPth_InProgram()) {
        return -1;
    }
    PyTime_t used = -1;
    _PyPth_Lock();
    _PyPth_counts_all = 1;
    _PyPth_thread *thread = tid != 0 ? _PyPth_FindTid(tid) : _PyPth_self;
    if (thread != NULL) {
        used = time_of(thread);
    }
    _PyPth_Unlock();
    return used;
}

DECLARE_REAL(clock_gettime)

MAPPED int
clock_gettime(clockid_t clock, struct timespec *ts)
{
    if (clock == CLOCK_THREAD_CPUTIME_ID || IS_THREAD_CLOCK(clock)) {
        PyTime_t used = ask(clock < 0 ? TID_OF(clock) : 0);
        if (used >= 0) {
            _PyTime_AsTimespec_clamp(used, ts);
            return 0;
        }
    }
    return real(clock_gettime)(clock, ts);
}

// How the time of the calling thread was spent, as far as it was told already:
// neither part must ever become less.
static _Py_thread_local PyTime_t told_user, told_system;

static PyTime_t
from_timeval(const struct timeval *tv)
{
    return (PyTime_t)tv->tv_sec * 1000000 + tv->tv_usec;
}

static struct timeval
to_timeval(PyTime_t us)
{
    struct timeval tv = {us / 1000000, us % 1000000};
    return tv;
}

DECLARE_REAL(getrusage)

MAPPED int
getrusage(__rusage_who_t who, struct rusage *usage)
{
    int result = real(getrusage)(who, usage);
    if (who != RUSAGE_THREAD || result != 0) {
        return result;
    }
    PyTime_t used = ask(0);
    if (used >= 0) {
        // What is new is divided as the kernel thread's time is.
        PyTime_t user = from_timeval(&usage->ru_utime);
        PyTime_t both = user + from_timeval(&usage->ru_stime);
        PyTime_t more = used / 1000 - told_user - told_system;
        if (more < 0) {
            // The kernel thread is used again.
            told_user = told_system = 0;
            more = used / 1000;
        }
        PyTime_t more_user = both > 0
                             ? (PyTime_t)((double)more * user / both) : more;
        told_user += more_user;
        told_system += more - more_user;
        usage->ru_utime = to_timeval(told_user);
        usage->ru_stime = to_timeval(told_system);
    }
    return result;
}
