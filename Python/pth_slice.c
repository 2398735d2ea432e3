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

#include "pth_internal.h"
#include "pycore_ceval.h"         // _Py_set_eval_breaker_bit()

#include <sys/syscall.h>          // SYS_gettid
#include <time.h>                 // timer_create()
#include <unistd.h>               // syscall()

#ifndef sigev_notify_thread_id    // glibc < 2.38 hides it
#  define sigev_notify_thread_id _sigev_un._tid
#endif

// The last but one of the real-time signals: valgrind has the last, the first
// ones are what programs take.  See docs in configure --with-pth.
#define SLICE_SIGNAL (SIGRTMAX - 1)

#define DEFAULT_SLICE 5000        // as DEFAULT_INTERVAL in ceval_gil.c

volatile sig_atomic_t _PyPth_slice_expired = 0;

static unsigned long slice_us = DEFAULT_SLICE;
static timer_t slice_timer;
static int have_timer = 0;
static volatile sig_atomic_t running = 0;

static void slice_handler(int signum);

// Return 0, or -1 and errno.
static int
install_handler(int flags)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = slice_handler;
    sa.sa_flags = flags | SA_ONSTACK;
    return sigaction(SLICE_SIGNAL, &sa, NULL);
}

static int
set_timer(unsigned long us)
{
    struct itimerspec it;
    it.it_value.tv_sec = (time_t)(us / 1000000);
    it.it_value.tv_nsec = (long)(us % 1000000) * 1000;
    it.it_interval = it.it_value;
    return timer_settime(slice_timer, 0, &it, NULL);
}

static void
slice_handler(int Py_UNUSED(signum))
{
    int err = errno;
    if (_PyPth_nthreads <= 1) {
        // Nobody to switch to.  timer_settime() is async-signal-safe.
        if (running) {
            running = 0;
            (void)set_timer(0);
        }
    }
    else {
        _PyPth_slice_expired = 1;
        PyThreadState *tstate = _Py_tss_tstate;
        if (tstate != NULL) {
            _Py_set_eval_breaker_bit(tstate, _PY_GIL_DROP_REQUEST_BIT);
        }
    }
    errno = err;
}

int
_PyPth_StartSlices(void)
{
    if (running) {
        return 0;
    }
    if (!have_timer) {
        if (install_handler(SA_RESTART) != 0) {
            return -1;
        }
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SLICE_SIGNAL);
        pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
        struct sigevent ev;
        memset(&ev, 0, sizeof(ev));
        ev.sigev_notify = SIGEV_THREAD_ID;
        ev.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
        ev.sigev_signo = SLICE_SIGNAL;
        if (timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &slice_timer) != 0) {
            return -1;
        }
        have_timer = 1;
    }
    if (set_timer(slice_us) != 0) {
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
        (void)set_timer(slice_us);
    }
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
    _PyPth_slice_expired = 0;
}
