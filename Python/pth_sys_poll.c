// GNU Pth backend, system call mapping: waiting for several descriptors.
//
// A few of them are waited for together with those of all other threads.  For
// more the plain call is made: to ask for them twice would cost more than a
// kernel thread that waits.

#include "pth_syscalls.h"

#include <sys/epoll.h>
#include <sys/select.h>

DECLARE_REAL(poll)
DECLARE_REAL(ppoll)
DECLARE_REAL(select)
DECLARE_REAL(epoll_wait)

static PyTime_t
from_ms(int ms)
{
    return _PyPth_Deadline(ms < 0 ? -1 : (PyTime_t)ms * 1000000);
}

// What is left until `deadline`, rounded up.
static int
to_ms(PyTime_t deadline)
{
    if (deadline == _PyPth_FOREVER) {
        return -1;
    }
    return (int)Py_MIN((time_left(deadline) + 999999) / 1000000, INT_MAX);
}

// What only looks fails with EINTR, too, if a signal comes just then, be it that
// of the backend (kernel, fs/select.c, do_poll()).
#define LOOK(call)                                              \
    ({                                                          \
        int found_;                                             \
        do {                                                    \
            found_ = (call);                                    \
        } while (found_ < 0 && errno == EINTR);                 \
        found_;                                                 \
    })

// Wait until `deadline` for descriptors none of which was ready.  Return one of
// these, 0 when time has run out, or -1 and errno.
#define ASK_AGAIN 1
#define MAKE_PLAIN 2              // the plain call has to be made
static int
wait_fds(struct pollfd *fds, nfds_t nfds, PyTime_t deadline, int flags)
{
    switch (_PyPth_WaitFds(fds, nfds, deadline,
                           _PyPth_INTERRUPTIBLE | flags))
    {
    case _PyPth_TIMEOUT:
        return 0;
    case _PyPth_INTR:
        errno = EINTR;
        return -1;
    case _PyPth_ERROR:
        forget_error();
        return MAKE_PLAIN;
    default:
        return ASK_AGAIN;
    }
}


/* poll() */

// poll() until `deadline`.  Return what it does, or PLAIN_POLL.
#define PLAIN_POLL (-2)
static int
poll_until(struct pollfd *fds, nfds_t nfds, PyTime_t deadline)
{
    if (nfds > _PyPth_FEW_FDS) {
        leave_first();
        return PLAIN_POLL;
    }
    int found = LOOK(real(poll)(fds, nfds, 0));
    int wait = ASK_AGAIN;
    while (found == 0 && wait == ASK_AGAIN) {
        wait = wait_fds(fds, nfds, deadline, _PyPth_REVENTS);
        for (nfds_t i = 0; wait == ASK_AGAIN && i < nfds; i++) {
            found += (fds[i].revents != 0);
        }
    }
    if (wait == MAKE_PLAIN) {
        leave_first();
        return PLAIN_POLL;
    }
    return wait < 0 ? -1 : found;
}

MAPPED int
poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
    if (!can_map(poll)) {
        return real(poll)(fds, nfds, timeout);
    }
    if (timeout == 0) {
        _PyPth_YieldToWaiting();
        return real(poll)(fds, nfds, 0);
    }
    PyTime_t deadline = from_ms(timeout);
    int found = poll_until(fds, nfds, deadline);
    return found != PLAIN_POLL ? found
           : real(poll)(fds, nfds, to_ms(deadline));
}

// ppoll() without a signal mask: poll() in nanoseconds.
int
_PyPth_Ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout)
{
    PyTime_t deadline = _PyPth_FOREVER;
    if (timeout != NULL) {
        if (!valid_timespec(timeout)) {
            return real(ppoll)(fds, nfds, timeout, NULL);
        }
        if (timeout->tv_sec == 0 && timeout->tv_nsec == 0) {
            _PyPth_YieldToWaiting();
            return real(ppoll)(fds, nfds, timeout, NULL);
        }
        deadline = _PyPth_Deadline(_PyPth_FromTimespec(timeout));
    }
    int found = poll_until(fds, nfds, deadline);
    if (found != PLAIN_POLL) {
        return found;
    }
    struct timespec left;
    if (timeout != NULL) {
        _PyTime_AsTimespec_clamp(time_left(deadline), &left);
        timeout = &left;
    }
    return real(ppoll)(fds, nfds, timeout, NULL);
}

MAPPED int
__poll_chk(struct pollfd *fds, nfds_t nfds, int timeout, size_t size)
{
    if (nfds > size / sizeof(*fds)) {
        __chk_fail();
    }
    return poll(fds, nfds, timeout);
}


/* select() */

// Turn sets into the array of poll().  Return the number of descriptors, or more
// than _PyPth_FEW_FDS if they are too many.
static nfds_t
sets_to_pollfds(int nfds, fd_set *const sets[3], struct pollfd *fds)
{
    static const short events[3] = {POLLIN, POLLOUT, POLLPRI};
    nfds_t n = 0;
    for (int base = 0; base < nfds; base += NFDBITS) {
        for (int i = 0; i < 3; i++) {
            unsigned long bits = sets[i] == NULL ? 0
                : ((const unsigned long *)sets[i])[base / NFDBITS];
            for (; bits != 0; bits &= bits - 1) {
                int fd = base + __builtin_ctzl(bits);
                if (fd >= nfds) {
                    break;
                }
                if (n >= _PyPth_FEW_FDS) {
                    return n + 1;
                }
                fds[n].fd = fd;
                fds[n++].events = events[i];
            }
        }
    }
    return n;
}

// The kernel decides what is ready: the wait only says when to ask again.
int
_PyPth_Select(int nfds, fd_set *r, fd_set *w, fd_set *e,
              struct timeval *timeout)
{
    struct pollfd fds[_PyPth_FEW_FDS];
    fd_set *const sets[3] = {r, w, e};
    nfds_t n;
    // Sets may be longer than an fd_set (select(2), BUGS).
    if (nfds < 0 || nfds > FD_SETSIZE
        || (timeout != NULL
            && (timeout->tv_sec < 0 || timeout->tv_sec > INT_MAX
                || timeout->tv_usec < 0))
        || (n = sets_to_pollfds(nfds, sets, fds)) > _PyPth_FEW_FDS)
    {
        leave_first();
        return real(select)(nfds, r, w, e, timeout);
    }
    PyTime_t deadline = _PyPth_FOREVER;
    if (timeout != NULL) {
        deadline = _PyPth_Deadline((PyTime_t)timeout->tv_sec * 1000000000
                                   + (PyTime_t)timeout->tv_usec * 1000);
    }
    size_t size = ((size_t)nfds + NFDBITS - 1) / NFDBITS * sizeof(fd_mask);
    fd_set asked[3];
    for (int i = 0; i < 3; i++) {
        if (sets[i] != NULL) {
            memcpy(&asked[i], sets[i], size);
        }
    }
    int wait = ASK_AGAIN, found = 0;
    while (wait == ASK_AGAIN) {
        struct timeval zero = {0, 0};
        found = LOOK(real(select)(nfds, r, w, e, &zero));
        if (found != 0) {
            break;
        }
        wait = wait_fds(fds, n, deadline, 0);
        for (int i = 0; wait != 0 && i < 3; i++) {
            if (sets[i] != NULL) {
                memcpy(sets[i], &asked[i], size);
            }
        }
    }
    if (wait < 0) {
        found = -1;
    }
    if (timeout != NULL) {
        // As Linux does.
        PyTime_t left = time_left(deadline) / 1000;
        timeout->tv_sec = (time_t)(left / 1000000);
        timeout->tv_usec = (suseconds_t)(left % 1000000);
    }
    if (wait == MAKE_PLAIN) {
        leave_first();
        return real(select)(nfds, r, w, e, timeout);
    }
    return found;
}


// Wait in the kernel.  A signal that waits for its thread in a signalfd(2) is there
// for no other kernel thread: one of these that polls the epoll descriptor, as the
// monitor may do for a moment more, takes the signalfd from the list of what is
// ready (kernel, fs/eventpoll.c, __ep_eventpoll_poll()).  Any signal that is sent
// puts it there again (kernel/signal.c, __send_signal_locked()).
static int
plain_epoll_wait(int epfd, struct epoll_event *events, int maxevents,
                 PyTime_t deadline)
{
    _PyPth_thread *self = _PyPth_self;
    for (int ms = 1; self->waits_at_home != 0 && ms < 1000; ms *= 2) {
        int left = to_ms(deadline);
        if (left >= 0 && left <= ms) {
            break;
        }
        int found = real(epoll_wait)(epfd, events, maxevents, ms);
        if (found != 0) {
            return found;
        }
        _PyPth_SendSignal(self->tid, self);
    }
    return real(epoll_wait)(epfd, events, maxevents, to_ms(deadline));
}

// An epoll descriptor is readable while it has events.
MAPPED int
epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    if (!can_map(epoll_wait)) {
        return real(epoll_wait)(epfd, events, maxevents, timeout);
    }
    if (timeout == 0) {
        _PyPth_YieldToWaiting();
        return real(epoll_wait)(epfd, events, maxevents, 0);
    }
    PyTime_t deadline = from_ms(timeout);
    for (;;) {
        int found = LOOK(real(epoll_wait)(epfd, events, maxevents, 0));
        if (found != 0) {
            return found;
        }
        struct pollfd p = {epfd, POLLIN, 0};
        int wait = wait_fds(&p, 1, deadline, 0);
        if (wait == MAKE_PLAIN) {
            leave_first();
            return plain_epoll_wait(epfd, events, maxevents, deadline);
        }
        if (wait != ASK_AGAIN) {
            return wait;
        }
        if (p.revents & POLLNVAL) {
            errno = EBADF;
            return -1;
        }
    }
}
