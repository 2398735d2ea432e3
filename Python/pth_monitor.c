// GNU Pth backend: the watch.
//
// Pth does not preempt, and knows nothing of a thread that is stuck in C code.
// So there is a kernel thread that looks once in a while, as Go's sysmon()
// does (runtime/proc.go).  It asks the thread that runs for the GIL when its
// time slice has ended or others can go on, and has another kernel thread take
// over from one that is in C code.
//
// It sleeps while there is nothing to watch: an idle process makes no system
// call.

#include "pth_internal.h"

#include <sys/syscall.h>
#include <unistd.h>

// How often it looks.  While threads wait for descriptors or deadlines, it looks
// as soon as one is due, but not sooner than _PyPth_POLL_NS after the last time.
// A thread that blocks is found out after one to two of these.
#define TICK_NS 1000000
// It goes to sleep after so many looks that had nothing to look after, but for
// descriptors and deadlines: the kernel does that.
#define QUIET_TICKS 20
// While threads hand over to each other all the time, and so many looks have
// found nothing to do, it naps in between: a look costs 20 us of the other
// processors' time on a virtual machine.
#define CALM_TICKS 1000
#define CALM_ENTRIES 100          // of the backend, in a tick
#define NAP_NS 20000000
#define ENDLESS_NS 1000000000      // a slice
// It does not wait for the lock, but where it found the backend locked so often: a
// thread may have it locked for most of its time, and whenever it is preempted.
#define BUSY_LOOKS 3

static int has_monitor = 0;
int _PyPth_nown_kernels = 0;
static volatile pid_t monitor_tid = 0;
volatile int _PyPth_monitor_sleeps = 0;
#define NAPS 2

void
_PyPth_WakeMonitor(void)
{
    if (_PyPth_monitor_sleeps
        && _Py_atomic_exchange_int((int *)&_PyPth_monitor_sleeps, 0) != 0)
    {
        _PyPth_counts_once = 1;
        _PyPth_SendSignal(monitor_tid, _PyPth_INTERRUPT);
    }
}

// What it has seen.
static _PyPth_thread *seen;       // the thread that ran
static unsigned long seen_entries;
static _PyPth_thread *slice_of;   // whose slice it is,
static unsigned long slice_switches;
static PyTime_t slice_start;      // and since when
static PyTime_t turn_start;       // when it became the turn of one that computes,
static unsigned long turn_slices; // after so many slices
static PyTime_t asked;            // when it was asked for its GIL, or 0
static PyTime_t shortest = TICK_NS;   // slice of those that somebody runs or waits in
static int calm = 0;              // looks that found nothing to do
static int idle_looks = 0;        // that found one in a call, and others waiting
static int busy_looks = 0;        // that found the backend locked
static int brisk = 0;             // threads handed over since the last one

// What it waits for between two looks, besides time: descriptors that threads wait
// for, and until when.
static struct pollfd fds[_PyPth_FEW_FDS + 1];
static nfds_t nfds = 0;
static PyTime_t deadline = _PyPth_FOREVER;

#ifdef HAVE_PTH_SYSCALLS
// Streams are checked after so many ticks, see pth_poll.c.
#define CHECK_TICKS 8
static int unchecked_ticks = 0;
#endif

static inline void
note_slice(_PyPth_thread *thread, PyTime_t t)
{
    if (thread != slice_of || _PyPth_switches != slice_switches) {
        slice_of = thread;
        slice_switches = _PyPth_switches;
        slice_start = t;
        asked = 0;
    }
    if (_PyPth_slices != turn_slices) {
        turn_slices = _PyPth_slices;
        turn_start = t;
    }
}

// Does the carrier compute, as far as the kernel knows?  Python code answers
// when it is asked for the GIL, be it late on a busy machine; C code that
// blocks with the GIL does not.
static int
computes(void)
{
    char stat[128];
    _PyPth_ReadTask(_PyPth_carrier->tid, "stat", stat, sizeof(stat));
    // "ID (name) state ...", see proc(5).
    const char *end = strrchr(stat, ')');
    return end != NULL && end[1] == ' ' && end[2] == 'R';
}

// Look once.  Return true if there is something to watch, but for descriptors
// and deadlines.
static int
look(void)
{
    _PyPth_thread *thread = _Py_atomic_load_ptr_relaxed(&_PyPth_lock);
    if (thread == _PyPth_BUSY && ++busy_looks < BUSY_LOOKS) {
        return 1;
    }
    busy_looks = 0;
    _PyPth_Lock();
    thread = _PyPth_after;
    nfds = 0;
    deadline = _PyPth_FOREVER;
    int late = _PyPth_InterruptMain();
    PyTime_t t = _PyPth_Now();
    PyTime_t gils = _PyPth_CheckGILs(t);
    shortest = gils > 0 ? gils : TICK_NS;
    _PyPth_FreeWanted();
    if (_PyPth_deferred && thread != _PyPth_IDLE) {
        _PyPth_SendDeferred();
    }
    int runs = (thread != _PyPth_IDLE && thread != _PyPth_VACANT);
    if (runs && thread->deliver && !_PyPth_IsBlocked(thread)) {
        // It came back from where nobody looked after that.
        _PyPth_SendPending(thread);
    }
    if (_PyPth_new_guests) {
        _PyPth_NoteGuests();
    }
    if (!runs || _PyPth_nthreads <= 1) {
        _PyPth_Unlock();
        seen = NULL;
        calm = brisk = 0;
        return gils > 0 || _PyPth_nwanting > 0 || _PyPth_new_guests
               || _PyPth_deferred || late;
    }
    PyTime_t slice = _PyPth_SliceOf(thread->gil);
    shortest = Py_MIN(shortest, slice);
    int stuck = (thread == seen && _PyPth_entries == seen_entries);
    if (stuck && thread->nogil) {
        _PyPth_NoteCurrent();
    }
    _PyPth_Count(_PyPth_carrier, _PyPth_carrier->counts_for);
    brisk = (_PyPth_entries - seen_entries >= CALM_ENTRIES);
    note_slice(thread, t);
    _PyPth_CollectSignals();
    int others = _PyPth_LookAround(0);
    _PyPth_time_calls = 1;
    // What was only taken for granted is not so for long.
    _PyPth_ForgetKinds(0, UINT_MAX);
#ifdef HAVE_PTH_SYSCALLS
    if (++unchecked_ticks >= CHECK_TICKS) {
        unchecked_ticks = 0;
        _PyPth_CheckWaits();
    }
#endif
    // Before somebody takes over: then it is not locked any more.
    nfds = _PyPth_CopyFds(fds);
    deadline = _PyPth_FirstDeadline();
    int waits = nfds > 0 || deadline != _PyPth_FOREVER;
    int watch = gils > 0 || late || _PyPth_nwanting > 0 || _PyPth_new_guests
                || _PyPth_masks_differ || _PyPth_deferred;
    int taken = 0, overdue = 0;
    if (others) {
        overdue = (t - slice_start >= slice || _PyPth_SomeoneComputes());
        int ignores = (asked != 0 && t - asked >= slice);
        // C code without the GIL does not look whether its slice is over.
        if (thread->nogil
            && (stuck || ignores || _PyPth_IsInLongCall(thread)))
        {
            _PyPth_CallIsLong(thread, !computes());
            taken = _PyPth_TakeOver() == 0;
        }
        else if (stuck && (ignores || (asked != 0 && !computes()))) {
            taken = _PyPth_TakeOver() == 0;
        }
        else if (_PyPth_several_gils && !thread->nogil
                 && _PyPth_HasOtherGIL(thread))
        {
            // They need not take turns.
            taken = _PyPth_TakeOver() == 0;
        }
        else if (t - slice_start >= slice) {
            _PyPth_EndSliceOf(thread, 0);
            if (asked == 0) {
                asked = t;
            }
        }
        else if (_PyPth_SomeoneComputes() && t - turn_start >= slice) {
            // Threads that hand locks to each other use up slices, too.
            _PyPth_EndSliceOf(thread, 0);
            turn_start = t;
        }
        else if (slice >= ENDLESS_NS) {
            // Who has set such a one wants no switch: none comes before.
        }
        else if (_PyPth_WokenByOthers()) {
            _PyPth_EndSliceOf(thread, 1);
        }
        else if (t > slice_start) {
            // It may have woken one itself, and have gone on with its slice.
            _PyPth_GiveWay();
        }
    }
    else if (!stuck || !thread->nogil || !(watch || waits)) {
        idle_looks = 0;
    }
    else if (++idle_looks > QUIET_TICKS) {
        // Who waits for descriptors, deadlines or signals waits in the kernel
        // from then on, and nobody has to look after them.
        idle_looks = 0;
        taken = _PyPth_TakeOver() == 0;
    }
    calm = (watch || waits || overdue) ? 0 : calm + brisk;
    seen = thread;
    if (taken) {
        // It is not locked any more.
        _PyPth_inside = 0;
        seen = NULL;
    }
    else {
        seen_entries = _PyPth_entries;
        _PyPth_Unlock();
    }
    return watch || others || idle_looks > 0;
}

static void
sleep_ns(long ns)
{
    struct timespec ts = {0, ns};
    (void)_PyPth_Sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL);
}

// From one look to the next, in the common case.
static void
rest(long ns)
{
    // What it waited for has come before its time: the next may be a stream.
    static int came = 0;
    // Threads that come in all the time look for these themselves.
    if (brisk || (nfds == 0 && deadline == _PyPth_FOREVER)
        || ns <= _PyPth_POLL_NS)
    {
        sleep_ns(ns);
        return;
    }
    if (came) {
        sleep_ns(_PyPth_POLL_NS);
        ns -= _PyPth_POLL_NS;
    }
    PyTime_t left = ns;
    if (deadline != _PyPth_FOREVER) {
        left = Py_MIN(left, deadline - _PyPth_Now());
    }
    came = (left < ns);
    if (left > 0) {
        struct timespec ts = {0, (long)left};
        came |= _PyPth_Sys(SYS_ppoll, fds, nfds, &ts, NULL,
                           (size_t)(_NSIG / 8)) != 0;
    }
}

// Until _PyPth_WakeMonitor(), or something has come of what it waits for, or for
// `ns` nanoseconds.  Return false if that long.
static int
sleep_until_told(struct pollfd *fds, nfds_t nfds, PyTime_t ns)
{
    struct timespec ts;
    _PyTime_AsTimespec_clamp(ns, &ts);
    uint64_t mask = _PyPth_AllOtherSignals();
    return _PyPth_Sys(SYS_ppoll, fds, nfds, ns != _PyPth_FOREVER ? &ts : NULL,
                      &mask, sizeof(mask)) != 0;
}

static void
nap(void)
{
    _Py_atomic_store_int((int *)&_PyPth_monitor_sleeps, NAPS);
    if (sleep_until_told(NULL, 0, NAP_NS)) {
        calm = 0;
    }
    _PyPth_monitor_sleeps = 0;
}

static void
measure_clock(void)
{
    PyTime_t t0 = _PyPth_Now();
    uint64_t ticks0 = _PyPth_ReadTicks();
    sleep_ns(TICK_NS);
    PyTime_t ns = _PyPth_Now() - t0;
    if (ns > 0) {
        uint64_t ticks = _PyPth_ReadTicks() - ticks0;
        _PyPth_us_ticks = ticks * 1000 / (uint64_t)ns;
    }
}

static void *
watch(void *Py_UNUSED(arg))
{
    (void)pthread_setname_np(pthread_self(), "pth-monitor");
    monitor_tid = (pid_t)_PyPth_Sys(SYS_gettid);
    measure_clock();
    int quiet = 0;
    for (;;) {
        long ns = TICK_NS;
        if (shortest < TICK_NS) {
            ns = Py_MAX((long)shortest, 100000);
        }
        if (calm < CALM_TICKS || !brisk) {
            rest(ns);
        }
        else {
            nap();
        }
        if (_PyPth_no_threads) {
            _PyPth_ExitWithLast();
            continue;
        }
        quiet = look() ? 0 : quiet + 1;
        if (quiet > QUIET_TICKS) {
            _Py_atomic_store_int((int *)&_PyPth_monitor_sleeps, _PyPth_SLEEPS);
            // Something may have begun just before.
            if (!look()) {
                PyTime_t ns = deadline;
                if (ns != _PyPth_FOREVER) {
                    ns = Py_MAX(ns - _PyPth_Now(), 0);
                }
                (void)sleep_until_told(fds, nfds, ns);
            }
            _PyPth_monitor_sleeps = 0;
            quiet = 0;
        }
    }
    return NULL;
}

int
_PyPth_StartKernel(void *(*func)(void *))
{
    sigset_t all, mask;
    pthread_attr_t attr;
    pthread_t pthread;
    sigfillset(&all);
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &all, &mask);
    // Nobody else runs here with that mask.
    _PyPth_inside = 1;
    int err = pthread_attr_init(&attr);
    if (err == 0) {
        (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        // Libraries' thread-locals lie on it, too.
        (void)pthread_attr_setstacksize(&attr, 256 * 1024);
        err = pthread_create(&pthread, &attr, func, NULL);
        (void)pthread_attr_destroy(&attr);
    }
    _PyPth_inside = 0;
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &mask, NULL);
    if (err != 0) {
        errno = err;
        return -1;
    }
    _PyPth_Lock();
    _PyPth_nown_kernels++;
    _PyPth_Unlock();
    return 0;
}

int
_PyPth_NeedsMonitor(void)
{
    if (has_monitor) {
        _PyPth_WakeMonitor();
    }
    return !has_monitor;
}

int
_PyPth_StartMonitor(void)
{
    if (!_PyPth_NeedsMonitor()) {
        return 0;
    }
    // It is woken by the signal, where Python has started no thread, too: those
    // of others may wait for the GIL.
    _PyPth_Lock();
    int taken = _PyPth_TakeSignal();
    _PyPth_Unlock();
    if (taken < 0 || _PyPth_StartKernel(watch) < 0) {
        return -1;
    }
    has_monitor = 1;
    return 0;
}

void
_PyPth_ForgetMonitor(void)
{
    has_monitor = 0;
    _PyPth_nown_kernels = 0;
    _PyPth_monitor_sleeps = 0;
    calm = 0;
    nfds = 0;
    deadline = _PyPth_FOREVER;
    seen = slice_of = NULL;
}
