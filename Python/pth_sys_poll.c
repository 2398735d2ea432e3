// GNU Pth backend, system call mapping: waiting for many descriptors.

#include "pth_syscalls.h"

#include <sys/epoll.h>
#include <sys/select.h>

DECLARE_REAL(poll)
DECLARE_REAL(ppoll)
DECLARE_REAL(select)
DECLARE_REAL(pselect)
DECLARE_REAL(epoll_wait)
DECLARE_REAL(epoll_pwait)

static const struct timespec zero = {0, 0};

// The calls that take a signal mask are made with it and without a timeout
// first: that finds what is ready, or takes a signal that is pending and that
// the mask lets through.  Then the thread waits with this mask.

// Return what _PyPth_WaitFds() does.
static _PyPth_result
wait_masked(struct pollfd *fds, nfds_t nfds, PyTime_t deadline,
            const sigset_t *mask, int flags)
{
    if (mask == NULL) {
        return _PyPth_WaitFds(fds, nfds, deadline, flags);
    }
    _PyPth_BeginWaitMask(mask);
    _PyPth_result result = _PyPth_WaitFds(fds, nfds, deadline, flags);
    _PyPth_EndWaitMask();
    return result;
}


/* poll() */

// poll() that has found nothing ready: wait.
static int
poll_wait(struct pollfd *fds, nfds_t nfds, PyTime_t deadline,
          const sigset_t *mask)
{
    for (;;) {
        _PyPth_result result = wait_masked(
            fds, nfds, deadline, mask, _PyPth_INTERRUPTIBLE | _PyPth_REVENTS);
        if (result == _PyPth_TIMEOUT) {
            return 0;
        }
        if (wait_failed(result)) {
            return -1;
        }
        int found = 0;
        for (nfds_t i = 0; i < nfds; i++) {
            found += (fds[i].revents != 0);
        }
        if (found) {
            return found;
        }
    }
}

MAPPED int
poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
    if (timeout == 0) {
        return _PyPth_PollNow(fds, nfds);
    }
    if (!can_switch()) {
        return real(poll)(fds, nfds, timeout);
    }
    PyTime_t ns = timeout < 0 ? -1 : (PyTime_t)timeout * 1000000;
    PyTime_t deadline = _PyPth_Deadline(ns);
    int found = _PyPth_PollNow(fds, nfds);
    if (found != 0) {
        return found;
    }
    return poll_wait(fds, nfds, deadline, NULL);
}

MAPPED int
ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
      const sigset_t *mask)
{
    if (!can_switch() || (timeout != NULL && !valid_timespec(timeout))) {
        return real(ppoll)(fds, nfds, timeout, mask);
    }
    PyTime_t ns = timeout == NULL ? -1 : from_timespec(timeout);
    PyTime_t deadline = _PyPth_Deadline(ns);
    int found = mask == NULL
                ? _PyPth_PollNow(fds, nfds)
                : real(ppoll)(fds, nfds, &zero, mask);
    if (found != 0 || ns == 0) {
        return found;
    }
    return poll_wait(fds, nfds, deadline, mask);
}

MAPPED int
__poll_chk(struct pollfd *fds, nfds_t nfds, int timeout, size_t size)
{
    if (nfds > size / sizeof(*fds)) {
        __chk_fail();
    }
    return poll(fds, nfds, timeout);
}

MAPPED int
__ppoll_chk(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
            const sigset_t *mask, size_t size)
{
    if (nfds > size / sizeof(*fds)) {
        __chk_fail();
    }
    return ppoll(fds, nfds, timeout, mask);
}


/* select() */

typedef struct {
    int nfds;
    fd_set *r, *w, *e;            // or NULL
} sets;

// A program may allocate longer sets than an fd_set, for descriptors of
// FD_SETSIZE and more: the kernel takes them (select(2), BUGS).
static size_t
set_size(int nfds)
{
    return ((size_t)nfds + NFDBITS - 1) / NFDBITS * sizeof(fd_mask);
}

// The kernel looks at no more descriptors than the process has room for, and
// "select(getdtablesize(), ...)" with an fd_set relies on that.  Return what
// it makes of `nfds`, or -1.
static int
clip_nfds(int nfds)
{
    if (nfds <= FD_SETSIZE) {
        return nfds;
    }
    FILE *f = fopen("/proc/self/status", "re");
    if (f == NULL) {
        return -1;
    }
    char line[256];
    int size = -1;
    while (size < 0 && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "FDSize: %d", &size) != 1) {
            size = -1;
        }
    }
    fclose(f);
    return size < 0 ? -1 : Py_MIN(nfds, size);
}

static int
is_set(const fd_set *set, int fd)
{
    // Not FD_ISSET(), which checks for FD_SETSIZE where it is fortified.
    return set != NULL && (((const fd_mask *)set)[fd / NFDBITS]
                           >> (fd % NFDBITS) & 1);
}

// Turn sets into the array of poll().  `fds` may be NULL, to count.
static nfds_t
sets_to_pollfds(const sets *s, struct pollfd *fds)
{
    nfds_t n = 0;
    for (int fd = 0; fd < s->nfds; fd++) {
        short events = 0;
        if (is_set(s->r, fd)) {
            events |= POLLIN;
        }
        if (is_set(s->w, fd)) {
            events |= POLLOUT;
        }
        if (is_set(s->e, fd)) {
            events |= POLLPRI;
        }
        if (events) {
            if (fds != NULL) {
                fds[n].fd = fd;
                fds[n].events = events;
            }
            n++;
        }
    }
    return n;
}

static void
copy_sets(const sets *to, const sets *from)
{
    size_t size = set_size(from->nfds);
    if (from->r != NULL) {
        memcpy(to->r, from->r, size);
    }
    if (from->w != NULL) {
        memcpy(to->w, from->w, size);
    }
    if (from->e != NULL) {
        memcpy(to->e, from->e, size);
    }
}

// Wait until `deadline`.  The kernel decides what is ready: the wait only says
// when to ask again.  `in` holds what the caller asked for.
static int
select_wait(const sets *s, const sets *in, struct pollfd *fds, nfds_t n,
            PyTime_t deadline, const sigset_t *mask)
{
    for (;;) {
        int found = real(pselect)(s->nfds, s->r, s->w, s->e, &zero,
                                  mask);
        if (found != 0 || deadline == 0) {
            return found;
        }
        _PyPth_result result = wait_masked(fds, n, deadline, mask,
                                           _PyPth_INTERRUPTIBLE);
        if (result == _PyPth_TIMEOUT) {
            return 0;
        }
        copy_sets(s, in);
        if (wait_failed(result)) {
            return -1;
        }
    }
}

// select() until `deadline`; 0: do not wait.
static int
select_until(const sets *s, PyTime_t deadline, const sigset_t *mask)
{
    size_t size = set_size(s->nfds);
    nfds_t n = sets_to_pollfds(s, NULL);
    // One block for the array and three sets.
    char *memory = malloc(n * sizeof(struct pollfd) + 3 * size);
    if (memory == NULL) {
        errno = ENOMEM;
        return -1;
    }
    struct pollfd *fds = (struct pollfd *)memory;
    char *copies = memory + n * sizeof(struct pollfd);
    sets in = {s->nfds, NULL, NULL, NULL};
    if (s->r != NULL) {
        in.r = (fd_set *)copies;
    }
    if (s->w != NULL) {
        in.w = (fd_set *)(copies + size);
    }
    if (s->e != NULL) {
        in.e = (fd_set *)(copies + 2 * size);
    }
    copy_sets(&in, s);
    (void)sets_to_pollfds(s, fds);
    int found = select_wait(s, &in, fds, n, deadline, mask);
    int err = errno;
    free(memory);
    errno = err;
    return found;
}

int
_PyPth_Select(int nfds, fd_set *r, fd_set *w, fd_set *e,
              struct timeval *timeout)
{
    if (nfds < 0 || (timeout != NULL
                     && (timeout->tv_sec < 0 || timeout->tv_usec < 0)))
    {
        return real(select)(nfds, r, w, e, timeout);
    }
    PyTime_t deadline = _PyPth_FOREVER;
    if (timeout != NULL) {
        PyTime_t ns = _PyTime_Add(
            from_timespec(&(struct timespec){timeout->tv_sec, 0}),
            (PyTime_t)timeout->tv_usec * 1000);
        deadline = _PyPth_Deadline(ns);
    }
    sets s = {clip_nfds(nfds), r, w, e};
    if (s.nfds < 0) {
        return real(select)(nfds, r, w, e, timeout);
    }
    int found = select_until(&s, deadline, NULL);
    if (timeout != NULL) {
        // As Linux does.
        PyTime_t left = time_left(deadline) / 1000;
        timeout->tv_sec = (time_t)(left / 1000000);
        timeout->tv_usec = (suseconds_t)(left % 1000000);
    }
    return found;
}

MAPPED int
pselect(int nfds, fd_set *r, fd_set *w, fd_set *e,
        const struct timespec *timeout, const sigset_t *mask)
{
    if (nfds < 0 || (timeout != NULL && !valid_timespec(timeout))
        || !can_switch())
    {
        return real(pselect)(nfds, r, w, e, timeout, mask);
    }
    PyTime_t deadline = _PyPth_FOREVER;
    if (timeout != NULL) {
        PyTime_t ns = from_timespec(timeout);
        deadline = ns == 0 ? 0 : _PyPth_Deadline(ns);
    }
    sets s = {clip_nfds(nfds), r, w, e};
    if (s.nfds < 0) {
        return real(pselect)(nfds, r, w, e, timeout, mask);
    }
    return select_until(&s, deadline, mask);
}


/* epoll: the epoll descriptor is readable while it has events */

// epoll_pwait() until `deadline`; 0: do not wait.
static int
epoll_until(int epfd, struct epoll_event *events, int maxevents,
            PyTime_t deadline, const sigset_t *mask)
{
    for (;;) {
        int found = real(epoll_pwait)(epfd, events, maxevents, 0,
                                  mask);
        if (found != 0 || deadline == 0) {
            return found;
        }
        struct pollfd p = {epfd, POLLIN, 0};
        _PyPth_result result = wait_masked(&p, 1, deadline, mask,
                                           _PyPth_INTERRUPTIBLE);
        if (result == _PyPth_TIMEOUT) {
            return 0;
        }
        if (wait_failed(result)) {
            return -1;
        }
        if (p.revents & POLLNVAL) {
            errno = EBADF;
            return -1;
        }
    }
}

static PyTime_t
epoll_deadline(int timeout)
{
    if (timeout == 0) {
        return 0;
    }
    return _PyPth_Deadline(timeout < 0 ? -1 : (PyTime_t)timeout * 1000000);
}

MAPPED int
epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    if (timeout == 0 || !can_switch()) {
        return real(epoll_wait)(epfd, events, maxevents, timeout);
    }
    return epoll_until(epfd, events, maxevents, epoll_deadline(timeout), NULL);
}

MAPPED int
epoll_pwait(int epfd, struct epoll_event *events, int maxevents, int timeout,
            const sigset_t *mask)
{
    if (timeout == 0 || !can_switch()) {
        return real(epoll_pwait)(epfd, events, maxevents, timeout, mask);
    }
    return epoll_until(epfd, events, maxevents, epoll_deadline(timeout), mask);
}

// Since glibc 2.35; declared here for those before, which nobody can have
// linked to.
extern int epoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
                        const struct timespec *timeout, const sigset_t *mask);

DECLARE_REAL(epoll_pwait2)

MAPPED int
epoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
             const struct timespec *timeout, const sigset_t *mask)
{
    if ((timeout != NULL && !valid_timespec(timeout)) || !can_switch()) {
        return real(epoll_pwait2)(epfd, events, maxevents, timeout, mask);
    }
    PyTime_t deadline = _PyPth_FOREVER;
    if (timeout != NULL) {
        PyTime_t ns = from_timespec(timeout);
        deadline = ns == 0 ? 0 : _PyPth_Deadline(ns);
    }
    return epoll_until(epfd, events, maxevents, deadline, mask);
}
