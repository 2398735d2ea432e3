// GNU Pth backend: the time slice.
//
// Pth does not preempt.  A timer that runs on the CPU time of the kernel
// thread sends a signal every slice; its handler asks the thread that holds
// the GIL to drop it, and drop_gil() then calls _PyPth_EndSlice().  Such a
// timer is silent while the process waits, so it interrupts no blocking system
// call and wakes no idle process (timer_create(2), CLOCK_THREAD_CPUTIME_ID).
//
// The kernel looks at CPU timers in its tick: slices are whole ticks (1 to
// 10 ms, CONFIG_HZ), whatever sys.setswitchinterval() asks for.
//
// A thread whose descriptor is ready, or whose sleep is over, shall not wait
// for a whole slice (bpo-7946, the convoy effect).  So while one thread
// computes and another one waits for such a thing, a second timer makes the
// first look at them (_PyPth_LOOK).  It runs on the monotonic clock, which is
// finer than the tick, and would interrupt a process that is blocked:
// therefore only a process that has computed for a tick starts it, and idle()
// stops it.

#include "pth_internal.h"
#include "pycore_ceval.h"         // _Py_set_eval_breaker_bit()

#include <time.h>                 // timer_create()

#ifndef sigev_notify_thread_id    // glibc < 2.38 hides it
#  define sigev_notify_thread_id _sigev_un._tid
#endif

// The last but one of the real-time signals: valgrind has the last, the first
// ones are what programs take.  See docs in configure --with-pth.
#define SLICE_SIGNAL (SIGRTMAX - 1)

#define DEFAULT_SLICE 5000        // as DEFAULT_INTERVAL in ceval_gil.c

// A look takes some 3 us, the signal included: this often, it costs the
// thread that computes less than a hundredth.
#define LOOK_NS 500000
// What the timer's signal has as its value; 0 is the slice's.
#define LOOK 1
// The timer stops after so many looks that had nobody to look after.
#define IDLE_LOOKS 20

volatile sig_atomic_t _PyPth_slice_expired = 0;

static unsigned long slice_us = DEFAULT_SLICE;
static timer_t slice_timer, look_timer;
static int have_timer = 0;
static volatile sig_atomic_t running = 0;
static volatile sig_atomic_t looking = 0;     // look_timer runs
static int idle_looks = 0;                    // the handler's

static void slice_handler(int signum, siginfo_t *info, void *context);

// What the program has set for the signal, and is told when it asks.
static struct sigaction user_action;
static int have_handler = 0;

// Return 0, or -1 and errno.
static int
install_handler(int flags)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = slice_handler;
    sa.sa_flags = flags | SA_SIGINFO | SA_ONSTACK;
    if (_PyPth_sys_sigaction(SLICE_SIGNAL, &sa,
                             have_handler ? NULL : &user_action) != 0)
    {
        return -1;
    }
    have_handler = 1;
    return 0;
}

int
_PyPth_SliceAction(int signum, const struct sigaction *action,
                   struct sigaction *old)
{
    if (signum != SLICE_SIGNAL || !have_handler) {
        return 0;
    }
    struct sigaction before = user_action;
    if (action != NULL) {
        user_action = *action;
    }
    if (old != NULL) {
        *old = before;
    }
    return 1;
}

int
_PyPth_CreateTimer(clockid_t clock, int value, timer_t *timer)
{
    struct sigevent ev;
    memset(&ev, 0, sizeof(ev));
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev.sigev_notify_thread_id = _PyPth_kernel_tid;
    ev.sigev_signo = SLICE_SIGNAL;
    ev.sigev_value.sival_int = value;
    return timer_create(clock, &ev, timer);
}

// timer_settime() is async-signal-safe.
int
_PyPth_SetTimer(timer_t timer, long long first_ns, long long then_ns)
{
    struct itimerspec it;
    it.it_value.tv_sec = (time_t)(first_ns / 1000000000);
    it.it_value.tv_nsec = (long)(first_ns % 1000000000);
    it.it_interval.tv_sec = (time_t)(then_ns / 1000000000);
    it.it_interval.tv_nsec = (long)(then_ns % 1000000000);
    return timer_settime(timer, 0, &it, NULL);
}

static int
set_slice_timer(void)
{
    // To the nearest number of ticks: the kernel would round 5 ms up to 8,
    // with a tick of 4.  The first half tick keeps clear of that.
    struct timespec res;
    long long tick = 1;
    if (clock_getres(CLOCK_MONOTONIC_COARSE, &res) == 0 && res.tv_nsec > 0) {
        tick = res.tv_nsec;
    }
    long long ticks = ((long long)slice_us * 1000 + tick / 2) / tick;
    if (ticks < 1) {
        ticks = 1;
    }
    return _PyPth_SetTimer(slice_timer, ticks * tick - tick / 2, ticks * tick);
}

static void
slice_handler(int Py_UNUSED(signum), siginfo_t *info, void *Py_UNUSED(context))
{
    if (!_PyPth_IsKernelThread()) {
        // _PyPth_Interrupt(): that the signal comes in is all.
        return;
    }
    int err = errno;
    _PyPth_EndIdle();
    int which = info->si_code == SI_TIMER ? info->si_value.sival_int : 0;
    if (which == _PyPth_WATCHDOG) {
        _PyPth_WatchdogExpired();
        if (!_PyPth_slice_expired) {
            // It may have ended a wait in idle(), and is no signal of
            // Python's.
            _PyPth_slice_expired = _PyPth_LOOK;
        }
        goto done;
    }
    int look = (which == LOOK);
    if (!look) {
        _PyPth_ForgetKinds(0, UINT_MAX);
    }
    if (_PyPth_nthreads <= 1) {
        // Nobody to switch to.
        _PyPth_StopLooking();
        if (running) {
            running = 0;
            (void)_PyPth_SetTimer(slice_timer, 0, 0);
        }
        goto done;
    }
    PyThreadState *tstate = _Py_tss_tstate;
    // Without the mapping, nobody would stop the timer before a blocking call.
    if (_PyPth_SomeoneWaits() && tstate != NULL && _PyPth_map_syscalls) {
        idle_looks = 0;
        if (!looking) {
            looking = (_PyPth_SetTimer(look_timer, LOOK_NS, LOOK_NS) == 0);
        }
    }
    else if (look && ++idle_looks >= IDLE_LOOKS) {
        _PyPth_StopLooking();
    }
    if (!look) {
        _PyPth_slice_expired = 1;
    }
    else if (!_PyPth_slice_expired) {
        _PyPth_slice_expired = _PyPth_LOOK;
    }
    if (tstate != NULL) {
        _Py_set_eval_breaker_bit(tstate, _PY_GIL_DROP_REQUEST_BIT);
    }
done:
    errno = err;
}

void
_PyPth_StopLooking(void)
{
    if (looking) {
        looking = 0;
        (void)_PyPth_SetTimer(look_timer, 0, 0);
    }
}

int
_PyPth_TakeSliceSignal(void)
{
    if (install_handler(SA_RESTART) != 0) {
        return -1;
    }
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SLICE_SIGNAL);
    // Straight: this is no mask that differs from thread to thread.
    (void)_PyPth_sys_sigmask(SIG_UNBLOCK, &mask, NULL);
    if (_PyPth_main.tid != NULL) {
        _PyPth_GetSignalMask(&_PyPth_current->sigmask);
        _PyPth_TellSignalMask();
    }
    return 0;
}

int
_PyPth_StartSlices(void)
{
    if (running) {
        return 0;
    }
    if (!have_timer) {
        if (_PyPth_TakeSliceSignal() < 0) {
            return -1;
        }
        if (_PyPth_CreateTimer(CLOCK_THREAD_CPUTIME_ID, 0,
                               &slice_timer) != 0)
        {
            return -1;
        }
        if (_PyPth_CreateTimer(CLOCK_MONOTONIC, LOOK, &look_timer) != 0) {
            int err = errno;
            (void)timer_delete(slice_timer);
            errno = err;
            return -1;
        }
        have_timer = 1;
    }
    if (set_slice_timer() != 0) {
        return -1;
    }
    running = 1;
    return 0;
}

void
_PyPth_SetSlice(unsigned long us)
{
    slice_us = us >= 1 ? us : 1;
    if (running) {
        (void)set_slice_timer();
    }
}

int
_PyPth_SliceInterrupted(int result, int err)
{
    if (result >= 0 || errno != EINTR || _PyPth_nthreads <= 1) {
        return 0;
    }
    errno = err;
    return 1;
}

void
_PyPth_BlockSlice(sigset_t *mask)
{
    sigaddset(mask, SLICE_SIGNAL);
}

void
_PyPth_UnblockSlice(sigset_t *mask)
{
    sigdelset(mask, SLICE_SIGNAL);
}

void
_PyPth_InterruptKernelThread(void)
{
    if (have_timer) {
        // The handler is there.
        (void)pthread_kill(_PyPth_kernel_thread, SLICE_SIGNAL);
    }
}

// The signal restarts system calls, but for these moments.
void
_PyPth_BeginInterrupt(void)
{
    (void)install_handler(0);
}

void
_PyPth_Interrupt(pthread_t thread)
{
    (void)pthread_kill(thread, SLICE_SIGNAL);
}

void
_PyPth_EndInterrupt(void)
{
    (void)install_handler(SA_RESTART);
}

void
_PyPth_ForgetSlices(void)
{
    have_timer = 0;
    running = 0;
    looking = 0;
    _PyPth_slice_expired = 0;
}
