// GNU Pth backend: the watchdog of faulthandler.dump_traceback_later().
//
// It is for programs that hang, also in C code that holds the GIL, where no
// other Python thread gets to run.  So there is no thread that waits: a timer
// sends the signal of the time slice, and the dump is made by the handler, as
// faulthandler.register() makes it.  A program with one thread keeps one.

#include "pth_internal.h"

#include <time.h>                 // timer_delete()

static timer_t timer;
static int have_timer = 0;
static PyTime_t timeout_ns;
static int (*timeout_func)(void);

int
_PyPth_StartWatchdog(PyTime_t us, int (*func)(void))
{
    if (_PyPth_TakeSliceSignal() < 0) {
        return -1;
    }
    if (!have_timer) {
        if (_PyPth_CreateTimer(CLOCK_MONOTONIC, _PyPth_WATCHDOG,
                               &timer) != 0)
        {
            return -1;
        }
        have_timer = 1;
    }
    timeout_ns = _PyTime_FromMicrosecondsClamp(us);
    timeout_func = func;
    return _PyPth_SetTimer(timer, timeout_ns, 0);
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
        (void)_PyPth_SetTimer(timer, timeout_ns, 0);
    }
    _PyPth_current = self;
    _PyPth_in_pth = in_pth;
}

void
_PyPth_ForgetWatchdog(void)
{
    have_timer = 0;
}
