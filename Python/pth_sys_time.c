// GNU Pth backend, system call mapping: sleeping.

#include "pth_syscalls.h"

#include <sched.h>
#include <time.h>

DECLARE_REAL(clock_nanosleep)
DECLARE_REAL(nanosleep)
DECLARE_REAL(sched_yield)

// Sleep until `deadline`.  Return 0, or EINTR and the time that is left
// (`left` may be NULL).
static int
sleep_until(PyTime_t deadline, struct timespec *left)
{
    if (time_left(deadline) == 0) {
        // As the kernel lets others run.
        _PyPth_Yield();
        return 0;
    }
    _PyPth_Lock();
    _PyPth_result result = _PyPth_Wait(
        NULL, deadline, _PyPth_INTERRUPTIBLE | _PyPth_NEW_SIGNALS);
    _PyPth_Unlock();
    if (result == _PyPth_INTR) {
        if (left != NULL) {
            _PyTime_AsTimespec_clamp(time_left(deadline), left);
        }
        return EINTR;
    }
    return 0;
}

MAPPED int
clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                struct timespec *left)
{
    int absolute = flags & TIMER_ABSTIME;
    // Other clocks may stand still or be set meanwhile.
    if ((clock != CLOCK_MONOTONIC && (clock != CLOCK_REALTIME || absolute))
        || !can_switch_with_gil() || is_interposed(clock_nanosleep)
        || !valid_timespec(request))
    {
        return real(clock_nanosleep)(clock, flags, request, left);
    }
    PyTime_t ns = _PyPth_FromTimespec(request);
    return absolute ? sleep_until(ns, NULL)
                    : sleep_until(_PyPth_Deadline(ns), left);
}

MAPPED int
nanosleep(const struct timespec *request, struct timespec *left)
{
    if (!can_switch_with_gil() || is_interposed(nanosleep)
        || !valid_timespec(request))
    {
        return real(nanosleep)(request, left);
    }
    if (sleep_until(_PyPth_Deadline(_PyPth_FromTimespec(request)), left) != 0) {
        errno = EINTR;
        return -1;
    }
    return 0;
}

MAPPED int
sched_yield(void)
{
    if (can_switch()) {
        _PyPth_Yield();
    }
    return real(sched_yield)();
}
