// GNU Pth backend: the watchdog of faulthandler.dump_traceback_later().
//
// It is for programs that hang, also in C code that holds the GIL, where no
// other Python thread gets to run.  So there is no thread that waits: a timer
// sends the signal of the time slice, and the dump is made by the handler, as
// faulthandler.register() makes it.  A program with one thread keeps one.

#include "pth_internal.h"

#include <sys/syscall.h>          // SYS_gettid
#include <time.h>                 // timer_create()
#include <unistd.h>               // syscall()

#ifndef sigev_notify_thread_id    // glibc < 2.38 hides it
#  define sigev_notify_thread_id _sigev_un._tid
#endif

static timer_t timer;
static int have_timer = 0;
static PyTime_t timeout_us;
static int (*timeout_func)(void);

// timer_settime() is async-signal-safe.
static int
set_timer(PyTime_t us)
{
    struct itimerspec it;
    memset(&it, 0, sizeof(it));
    it.it_value.tv_sec = (time_t)(us / 1000000);
    it.it_value.tv_nsec = (long)(us % 1000000) * 1000;
    return timer_settime(timer, 0, &it, NULL);
}

int
_PyPth_StartWatchdog(PyTime_t us, int (*func)(void))
{
    if (_PyPth_TakeSliceSignal() < 0) {
        return -1;
    }
    if (!have_timer) {
        struct sigevent ev;
        memset(&ev, 0, sizeof(ev));
        ev.sigev_notify = SIGEV_THREAD_ID;
        ev.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
        ev.sigev_signo = _PyPth_SliceSignal();
        ev.sigev_value.sival_int = _PyPth_WATCHDOG;
        if (timer_create(CLOCK_MONOTONIC, &ev, &timer) != 0) {
            return -1;
        }
        have_timer = 1;
    }
    timeout_us = us;
    timeout_func = func;
    return set_timer(us);
}

void
_PyPth_StopWatchdog(void)
{
    if (have_timer) {
        // This also takes back a signal that is pending (timer_delete(2)).
        (void)timer_delete(timer);
        have_timer = 0;
    }
}

void
_PyPth_WatchdogExpired(void)
{
    if (!have_timer) {
        return;
    }
    // It writes wherever the thread was interrupted, and switches nowhere.
    int in_pth = _PyPth_in_pth;
    _PyPth_in_pth = 1;
    // The threads that are dumped are all others: "Current thread" would be
    // wrong.
    static _PyPth_thread nobody;
    _PyPth_thread *self = _PyPth_current;
    _PyPth_current = &nobody;
    if (timeout_func()) {
        (void)set_timer(timeout_us);
    }
    _PyPth_current = self;
    _PyPth_in_pth = in_pth;
}

void
_PyPth_ForgetWatchdog(void)
{
    have_timer = 0;
}
