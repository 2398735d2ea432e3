// GNU Pth backend, system call mapping: sleeping, and semaphores.

#include "pth_syscalls.h"

#include <sched.h>
#include <semaphore.h>
#include <time.h>

DECLARE_REAL(clock_nanosleep)
DECLARE_REAL(nanosleep)
DECLARE_REAL(sleep)
DECLARE_REAL(usleep)
DECLARE_REAL(sched_yield)

MAPPED int
clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                struct timespec *left)
{
    if (!can_switch_with_gil() || !valid_timespec(request)) {
        return real(clock_nanosleep)(clock, flags, request, left);
    }
    PyTime_t ns = from_timespec(request);
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) {
        // It may stand still, or jump.
        make_room();
        return real(clock_nanosleep)(clock, flags, request, left);
    }
    if (!(flags & TIMER_ABSTIME)) {
        return _PyPth_SleepUntil(_PyPth_Deadline(ns), left);
    }
    if (clock == CLOCK_MONOTONIC) {
        return _PyPth_SleepUntil(ns, NULL);
    }
    // The wall clock may be set in the meantime: look at it once a second.
    for (;;) {
        PyTime_t now;
        (void)PyTime_TimeRaw(&now);
        if (now >= ns) {
            return 0;
        }
        PyTime_t step = Py_MIN(ns - now, (PyTime_t)1000000000);
        if (_PyPth_SleepUntil(_PyPth_Deadline(step), NULL) != 0) {
            return EINTR;
        }
    }
}

MAPPED int
nanosleep(const struct timespec *request, struct timespec *left)
{
    if (!can_switch_with_gil() || !valid_timespec(request)) {
        return real(nanosleep)(request, left);
    }
    if (_PyPth_SleepUntil(_PyPth_Deadline(from_timespec(request)),
                          left) != 0)
    {
        errno = EINTR;
        return -1;
    }
    return 0;
}

MAPPED unsigned int
sleep(unsigned int seconds)
{
    if (!can_switch_with_gil()) {
        return real(sleep)(seconds);
    }
    struct timespec ts = {(time_t)seconds, 0};
    struct timespec left = {0, 0};
    if (_PyPth_SleepUntil(_PyPth_Deadline(from_timespec(&ts)), &left) != 0) {
        return (unsigned int)left.tv_sec;
    }
    return 0;
}

MAPPED int
usleep(useconds_t us)
{
    struct timespec ts = {(time_t)(us / 1000000),
                          (long)(us % 1000000) * 1000};
    if (!can_switch_with_gil()) {
        return real(usleep)(us);
    }
    return nanosleep(&ts, NULL);
}

MAPPED int
sched_yield(void)
{
    if (can_switch()) {
        _PyPth_Yield();
    }
    return real(sched_yield)();
}


/* Semaphores.  Who posts one may be another process. */

DECLARE_REAL(sem_wait)
DECLARE_REAL(sem_timedwait)

// Since glibc 2.30.
extern int sem_clockwait(sem_t *sem, clockid_t clock,
                         const struct timespec *deadline);
DECLARE_REAL(sem_clockwait)

// Did it succeed, or fail, at once?  Then in `*result` what it returns.
static int
semaphore_tried(sem_t *sem, int *result)
{
    if (!can_switch()) {
        return 0;
    }
    if (sem_trywait(sem) == 0) {
        *result = 0;
        return 1;
    }
    forget_error();
    make_room();
    return 0;
}

MAPPED int
sem_wait(sem_t *sem)
{
    int result;
    return semaphore_tried(sem, &result) ? result : real(sem_wait)(sem);
}

MAPPED int
sem_timedwait(sem_t *sem, const struct timespec *deadline)
{
    int result;
    return semaphore_tried(sem, &result)
           ? result : real(sem_timedwait)(sem, deadline);
}

MAPPED int
sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *deadline)
{
    int result;
    return semaphore_tried(sem, &result)
           ? result : real(sem_clockwait)(sem, clock, deadline);
}
