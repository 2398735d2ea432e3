// GNU Pth backend, system call mapping: child processes, and signals that are
// waited for.

#include "pth_syscalls.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>          // SYS_pidfd_open
#include <sys/wait.h>

DECLARE_REAL(close)


/* Child processes.  The end of one child can be waited for by a descriptor.
   For a child that stops or continues, or for any child of several, there is
   but the plain call: all threads of a process share its children. */

DECLARE_REAL(wait4)
DECLARE_REAL(waitid)

// Wait until the child `pid` has ended.  Return -1 and errno on failure: it is
// ENOSYS where no descriptor is to be had.
static int
wait_exit(pid_t pid)
{
#ifdef SYS_pidfd_open
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd >= 0) {
        int result = _PyPth_WaitFd(fd, POLLIN, _PyPth_FOREVER, 0);
        (void)real(close)(fd);
        return result;
    }
#endif
    errno = ENOSYS;
    return -1;
}

MAPPED pid_t
wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    // Children of the calling kernel thread alone: __WNOTHREAD.
    if ((options & (WNOHANG | __WNOTHREAD)) || !can_switch()) {
        return real(wait4)(pid, status, options, usage);
    }
    for (;;) {
        pid_t child = real(wait4)(pid, status, options | WNOHANG, usage);
        if (child != 0) {
            return child;
        }
        int only_exit = !(options & (WUNTRACED | WCONTINUED));
        if (pid > 0 && only_exit) {
            if (wait_exit(pid) >= 0) {
                continue;
            }
            if (errno != ENOSYS) {
                return -1;
            }
        }
        make_room();
        return real(wait4)(pid, status, options, usage);
    }
}

MAPPED pid_t
wait3(int *status, int options, struct rusage *usage)
{
    return wait4(-1, status, options, usage);
}

MAPPED pid_t
waitpid(pid_t pid, int *status, int options)
{
    return wait4(pid, status, options, NULL);
}

MAPPED pid_t
wait(int *status)
{
    return wait4(-1, status, 0, NULL);
}

MAPPED int
waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    if ((options & (WNOHANG | __WNOTHREAD)) || !can_switch()) {
        return real(waitid)(type, id, info, options);
    }
    siginfo_t found;
    for (;;) {
        found.si_pid = 0;
        if (real(waitid)(type, id, &found, options | WNOHANG) < 0) {
            return -1;
        }
        if (found.si_pid != 0) {
            if (info != NULL) {
                *info = found;
            }
            return 0;
        }
        int only_exit = !(options & (WSTOPPED | WCONTINUED));
        if (type == P_PID && only_exit) {
            if (wait_exit((pid_t)id) >= 0) {
                continue;
            }
            if (errno != ENOSYS) {
                return -1;
            }
        }
        make_room();
        return real(waitid)(type, id, info, options);
    }
}


/* Signals that are waited for: a signalfd is readable while one is pending. */

DECLARE_REAL(sigtimedwait)
DECLARE_REAL(sigwaitinfo)
DECLARE_REAL(sigwait)
DECLARE_REAL(pause)

static int
wait_signal(const sigset_t *set, siginfo_t *info, PyTime_t deadline)
{
    static const struct timespec zero = {0, 0};
    int fd = -1, result;
    for (;;) {
        result = _PyPth_TakePending(set);
        if (result > 0) {
            if (info != NULL) {
                memset(info, 0, sizeof(*info));
                info->si_signo = result;
                info->si_code = SI_TKILL;
                info->si_pid = getpid();
                info->si_uid = getuid();
            }
            break;
        }
        result = real(sigtimedwait)(set, info, &zero);
        if (result >= 0 || errno != EAGAIN) {
            break;
        }
        if (fd < 0) {
            fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
            if (fd < 0) {
                return -1;
            }
        }
        _PyPth_self->sigwait = set;
        result = _PyPth_WaitFd(fd, POLLIN, deadline, 0);
        _PyPth_self->sigwait = NULL;
        if (result < 0) {
            break;
        }
    }
    if (result >= 0) {
        forget_error();
    }
    if (fd >= 0) {
        (void)real(close)(fd);
    }
    return result;
}

MAPPED int
sigtimedwait(const sigset_t *set, siginfo_t *info,
             const struct timespec *timeout)
{
    if (!can_switch() || (timeout != NULL && !valid_timespec(timeout))) {
        return real(sigtimedwait)(set, info, timeout);
    }
    PyTime_t ns = timeout == NULL ? -1 : from_timespec(timeout);
    return wait_signal(set, info, _PyPth_Deadline(ns));
}

MAPPED int
sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    if (!can_switch()) {
        return real(sigwaitinfo)(set, info);
    }
    return wait_signal(set, info, _PyPth_FOREVER);
}

MAPPED int
sigwait(const sigset_t *set, int *signum)
{
    if (!can_switch()) {
        return real(sigwait)(set, signum);
    }
    int found;
    do {
        // It never returns EINTR, see sigwait(3p).
        found = wait_signal(set, NULL, _PyPth_FOREVER);
    } while (found < 0 && errno == EINTR);
    if (found < 0) {
        return errno;
    }
    *signum = found;
    return 0;
}

MAPPED int
pause(void)
{
    if (!can_switch()) {
        return real(pause)();
    }
    while (_PyPth_SleepUntil(_PyPth_FOREVER, NULL) == 0) {
    }
    errno = EINTR;
    return -1;
}
