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

// The kernel thread has used so much.  Locked.
static void
give(_PyPth_thread *kernel, PyTime_t now)
{
    if (now > kernel->given) {
        kernel->counts_for->used += now - kernel->given;
        kernel->given = now;
    }
    kernel->owes = 0;
}

static void
count(_PyPth_thread *kernel, clockid_t clock)
{
    int err = errno;
    struct timespec ts;
    if (_PyPth_Sys(SYS_clock_gettime, clock, &ts) == 0) {
        give(kernel, _PyPth_FromTimespec(&ts));
    }
    errno = err;
}

void
_PyPth_Count(_PyPth_thread *kernel, _PyPth_thread *next)
{
    count(kernel, CLOCK_OF(kernel->tid));
    kernel->counts_for = next;
}

void
_PyPth_CountOwn(_PyPth_thread *thread)
{
    if (thread->owes && thread->counts_for == thread) {
        count(thread, CLOCK_OF(thread->tid));
    }
}

// That of the Python thread whose own kernel thread this is (0: the calling
// one), in nanoseconds.  Return -1 if the kernel has to be asked.
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
        _PyPth_thread *kernel = _PyPth_KernelOf(thread);
        if (kernel->counts_for == thread) {
            // The kernel finds that of the caller sooner than that of an ID.
            count(kernel, thread == _PyPth_self ? CLOCK_THREAD_CPUTIME_ID
                                                : CLOCK_OF(kernel->tid));
        }
        _PyPth_CountOwn(thread);
        used = thread->used;
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
    if (who != RUSAGE_THREAD || !_PyPth_InProgram()) {
        return real(getrusage)(who, usage);
    }
    _PyPth_Lock();
    _PyPth_counts_all = 1;
    int result = real(getrusage)(who, usage);
    if (result == 0) {
        _PyPth_thread *self = _PyPth_self;
        _PyPth_thread *kernel = _PyPth_KernelOf(self);
        PyTime_t user = from_timeval(&usage->ru_utime);
        PyTime_t both = user + from_timeval(&usage->ru_stime);
        if (kernel->counts_for == self) {
            give(kernel, both * 1000);
        }
        _PyPth_CountOwn(self);
        // What is new is divided as the kernel thread's time is.
        PyTime_t more = self->used / 1000 - told_user - told_system;
        if (more < 0) {
            // The kernel thread is used again.
            told_user = told_system = 0;
            more = self->used / 1000;
        }
        PyTime_t more_user = both > 0
                             ? (PyTime_t)((double)more * user / both) : more;
        told_user += more_user;
        told_system += more - more_user;
        usage->ru_utime = to_timeval(told_user);
        usage->ru_stime = to_timeval(told_system);
    }
    _PyPth_Unlock();
    return result;
}
