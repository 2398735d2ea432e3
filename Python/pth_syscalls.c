// GNU Pth backend: the system call mapping.
//
// A thread that blocks in the kernel would stop all threads, for there is one
// kernel thread.  So the executable (or libpython) defines the C library's
// entry points of the system calls that block, as GNU Pth's "hard" mapping
// does (pth_syscall.c); the dynamic linker then gives ours to everybody:
// CPython's modules, OpenSSL, any C extension.  Each tries the call without
// blocking, waits in _PyPth_WaitFds() or _PyPth_Wait() while others run, and
// tries again.
//
// Who must not switch gets the plain call, see can_switch().

#undef _FORTIFY_SOURCE            // the functions defined here are its targets

#include "pth_internal.h"

#include <dlfcn.h>                // dlsym()
#include <fcntl.h>
#include <limits.h>               // PIPE_BUF
#include <sched.h>
#include <stdarg.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <sys/epoll.h>

#define MAPPED Py_EXPORTED_SYMBOL

// real(name) is the C library's own function: the next definition of the name
// behind ours.
#define real(name) next_ ## name()

#define DECLARE_REAL(name)                                      \
    static inline __typeof__(&name)                             \
    next_ ## name(void)                                         \
    {                                                           \
        static __typeof__(&name) func = NULL;                   \
        if (func == NULL) {                                     \
            func = (__typeof__(&name))next_definition(#name);   \
        }                                                       \
        return func;                                            \
    }

static void *next_definition(const char *name);

int _PyPth_pipe_for_init[2] = {-1, -1};
static int pth_pipe = -1;         // the reading end of Pth's own pipe

static void *
next_definition(const char *name)
{
    void *func = dlsym(RTLD_NEXT, name);
    if (func == NULL) {
        _Py_FatalErrorFormat(__func__, "the C library has no %s()", name);
    }
    return func;
}

// A thread that sleeps while it holds the GIL lets those run that need none.
// (The child of a vfork() does not sleep.)
static inline int
can_switch_with_gil(void)
{
    return _PyPth_nthreads > 1
           && !_PyPth_in_pth
           && !_PyPth_current->waiting
           && _PyPth_IsKernelThread();
}

// May the calling thread let others run?  Not if it is the only one, nor if it
// holds the GIL (as the child of a vfork() seems to, which runs in its
// parent's memory), nor inside Pth, nor in a signal handler that came in the
// middle of a wait, nor if it is not a Python thread at all.
static inline int
can_switch(void)
{
    return _Py_tss_tstate == NULL && can_switch_with_gil();
}

static int
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static int
is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || (flags & O_NONBLOCK);
}

static PyTime_t
from_timespec(const struct timespec *ts)
{
    PyTime_t t;
    if (_PyTime_FromTimespec(&t, (struct timespec *)ts) < 0) {
        t = PyTime_MAX;
    }
    return t;
}

static PyTime_t
time_left(PyTime_t deadline)
{
    PyTime_t now;
    (void)PyTime_MonotonicRaw(&now);
    return deadline > now ? deadline - now : 0;
}

// Wait until `fd` is ready for `events`.
// Return 0, or -1 and errno: EINTR, EAGAIN when the deadline has passed.
static int
wait_fd(int fd, short events, PyTime_t deadline)
{
    struct pollfd p = {fd, events, 0};
    switch (_PyPth_WaitFds(&p, 1, deadline, _PyPth_INTERRUPTIBLE)) {
    case _PyPth_INTR:
        errno = EINTR;
        return -1;
    case _PyPth_TIMEOUT:
        errno = EAGAIN;
        return -1;
    case _PyPth_ERROR:
        return -1;
    default:
        return 0;
    }
}

// Flags of recv*() with which it never blocks.
#define RECV_AT_ONCE (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

// The deadline that SO_RCVTIMEO or SO_SNDTIMEO sets for a call that starts now.
static PyTime_t
socket_deadline(int fd, int option)
{
    struct timeval tv;
    socklen_t len = sizeof(tv);
    if (getsockopt(fd, SOL_SOCKET, option, &tv, &len) != 0
        || (tv.tv_sec == 0 && tv.tv_usec == 0))
    {
        return _PyPth_FOREVER;
    }
    return _PyPth_Deadline((PyTime_t)tv.tv_sec * 1000000000
                           + (PyTime_t)tv.tv_usec * 1000);
}

// A call on a socket has said EAGAIN.  Return 0 when it is worth another try,
// or -1 and errno.  *deadline is 0 before the first call.
static int
wait_socket(int fd, short events, PyTime_t *deadline)
{
    if (is_nonblocking(fd)) {
        errno = EAGAIN;
        return -1;
    }
    if (*deadline == 0) {
        *deadline = socket_deadline(fd, events == POLLIN ? SO_RCVTIMEO
                                                         : SO_SNDTIMEO);
    }
    return wait_fd(fd, events, *deadline);
}


/* Readiness */

DECLARE_REAL(poll)
DECLARE_REAL(ppoll)
DECLARE_REAL(select)
DECLARE_REAL(pselect)

int
_PyPth_sys_ppoll(struct pollfd *fds, nfds_t nfds,
                 const struct timespec *timeout, const sigset_t *mask)
{
    return real(ppoll)(fds, nfds, timeout, mask);
}

// poll() that has found nothing ready: wait.
static int
poll_wait(struct pollfd *fds, nfds_t nfds, PyTime_t deadline)
{
    for (;;) {
        switch (_PyPth_WaitFds(fds, nfds, deadline, _PyPth_INTERRUPTIBLE)) {
        case _PyPth_INTR:
            errno = EINTR;
            return -1;
        case _PyPth_TIMEOUT:
            return 0;
        case _PyPth_ERROR:
            return -1;
        default:
            break;
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
    if (timeout == 0 || !can_switch()) {
        return real(poll)(fds, nfds, timeout);
    }
    int found = real(poll)(fds, nfds, 0);
    if (found != 0) {
        return found;
    }
    PyTime_t ns = timeout < 0 ? -1 : (PyTime_t)timeout * 1000000;
    return poll_wait(fds, nfds, _PyPth_Deadline(ns));
}

MAPPED int
ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
      const sigset_t *mask)
{
    if (mask != NULL || !can_switch()) {
        return real(ppoll)(fds, nfds, timeout, mask);
    }
    static const struct timespec zero = {0, 0};
    int found = real(ppoll)(fds, nfds, &zero, NULL);
    if (found != 0) {
        return found;
    }
    PyTime_t ns = timeout == NULL ? -1 : from_timespec(timeout);
    return poll_wait(fds, nfds, _PyPth_Deadline(ns));
}

// Turn the sets of select() into the array of poll().
static nfds_t
sets_to_pollfds(int nfds, const fd_set *r, const fd_set *w, const fd_set *e,
                struct pollfd *fds)
{
    nfds_t n = 0;
    for (int fd = 0; fd < nfds; fd++) {
        short events = 0;
        if (r != NULL && FD_ISSET(fd, r)) {
            events |= POLLIN;
        }
        if (w != NULL && FD_ISSET(fd, w)) {
            events |= POLLOUT;
        }
        if (e != NULL && FD_ISSET(fd, e)) {
            events |= POLLPRI;
        }
        if (events) {
            fds[n].fd = fd;
            fds[n].events = events;
            fds[n].revents = 0;
            n++;
        }
    }
    return n;
}

// select() until `deadline`.  The kernel decides what is ready: the wait only
// says when to ask again.
static int
select_wait(int nfds, fd_set *r, fd_set *w, fd_set *e, PyTime_t deadline)
{
    struct pollfd fds[FD_SETSIZE];
    fd_set in_r, in_w, in_e;
    // The sets of the caller may be shorter than an fd_set.
    size_t size = ((size_t)nfds + NFDBITS - 1) / NFDBITS * sizeof(fd_mask);
    for (;;) {
        struct timeval zero = {0, 0};
        if (r != NULL) {
            memcpy(&in_r, r, size);
        }
        if (w != NULL) {
            memcpy(&in_w, w, size);
        }
        if (e != NULL) {
            memcpy(&in_e, e, size);
        }
        int found = real(select)(nfds, r, w, e, &zero);
        if (found != 0) {
            return found;
        }
        nfds_t n = sets_to_pollfds(nfds, r != NULL ? &in_r : NULL,
                                   w != NULL ? &in_w : NULL,
                                   e != NULL ? &in_e : NULL, fds);
        switch (_PyPth_WaitFds(fds, n, deadline, _PyPth_INTERRUPTIBLE)) {
        case _PyPth_INTR:
            errno = EINTR;
            found = -1;
            break;
        case _PyPth_TIMEOUT:
            return 0;
        case _PyPth_ERROR:
            found = -1;
            break;
        default:
            break;
        }
        if (r != NULL) {
            memcpy(r, &in_r, size);
        }
        if (w != NULL) {
            memcpy(w, &in_w, size);
        }
        if (e != NULL) {
            memcpy(e, &in_e, size);
        }
        if (found < 0) {
            return found;
        }
    }
}

MAPPED int
select(int nfds, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
    if (_PyPth_in_pth && nfds == pth_pipe + 1 && timeout != NULL
        && timeout->tv_sec == 0 && timeout->tv_usec == 0)
    {
        // Pth's event manager looks at its pipe, see below.
        return 0;
    }
    if (!can_switch() || nfds < 0 || nfds > FD_SETSIZE
        || (timeout != NULL && timeout->tv_sec == 0 && timeout->tv_usec == 0))
    {
        return real(select)(nfds, r, w, e, timeout);
    }
    PyTime_t deadline = _PyPth_FOREVER;
    if (timeout != NULL) {
        if (timeout->tv_sec < 0 || timeout->tv_usec < 0) {
            return real(select)(nfds, r, w, e, timeout);
        }
        PyTime_t ns = _PyTime_Add(
            from_timespec(&(struct timespec){timeout->tv_sec, 0}),
            (PyTime_t)timeout->tv_usec * 1000);
        deadline = _PyPth_Deadline(ns);
    }
    int found = select_wait(nfds, r, w, e, deadline);
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
    if (mask != NULL || !can_switch() || nfds < 0 || nfds > FD_SETSIZE) {
        return real(pselect)(nfds, r, w, e, timeout, mask);
    }
    PyTime_t ns = timeout == NULL ? -1 : from_timespec(timeout);
    return select_wait(nfds, r, w, e, _PyPth_Deadline(ns));
}

DECLARE_REAL(epoll_wait)
DECLARE_REAL(epoll_pwait)

MAPPED int
epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    if (timeout == 0 || !can_switch()) {
        return real(epoll_wait)(epfd, events, maxevents, timeout);
    }
    PyTime_t deadline = _PyPth_Deadline(
        timeout < 0 ? -1 : (PyTime_t)timeout * 1000000);
    for (;;) {
        int found = real(epoll_wait)(epfd, events, maxevents, 0);
        if (found != 0) {
            return found;
        }
        if (wait_fd(epfd, POLLIN, deadline) < 0) {
            return would_block() ? 0 : -1;
        }
    }
}

MAPPED int
epoll_pwait(int epfd, struct epoll_event *events, int maxevents, int timeout,
            const sigset_t *mask)
{
    if (mask == NULL) {
        return epoll_wait(epfd, events, maxevents, timeout);
    }
    return real(epoll_pwait)(epfd, events, maxevents, timeout, mask);
}


/* Time */

DECLARE_REAL(clock_nanosleep)
DECLARE_REAL(nanosleep)
DECLARE_REAL(sleep)
DECLARE_REAL(usleep)

// Return 0, or EINTR and the time that is left.
static int
sleep_until(PyTime_t deadline, struct timespec *left)
{
    if (_PyPth_Wait(NULL, deadline, _PyPth_INTERRUPTIBLE | _PyPth_NEW_SIGNALS)
        == _PyPth_INTR)
    {
        if (left != NULL) {
            _PyTime_AsTimespec_clamp(time_left(deadline), left);
        }
        return EINTR;
    }
    return 0;
}

static int
valid_timespec(const struct timespec *ts)
{
    return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000;
}

MAPPED int
clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                struct timespec *left)
{
    if (!can_switch_with_gil() || !valid_timespec(request)
        || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME))
    {
        return real(clock_nanosleep)(clock, flags, request, left);
    }
    PyTime_t ns = from_timespec(request);
    if (!(flags & TIMER_ABSTIME)) {
        return sleep_until(_PyPth_Deadline(ns), left);
    }
    if (clock == CLOCK_MONOTONIC) {
        return sleep_until(ns, NULL);
    }
    // The wall clock may be set in the meantime: look at it once a second.
    for (;;) {
        PyTime_t now;
        (void)PyTime_TimeRaw(&now);
        if (now >= ns) {
            return 0;
        }
        PyTime_t step = Py_MIN(ns - now, (PyTime_t)1000000000);
        if (sleep_until(_PyPth_Deadline(step), NULL) != 0) {
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
    if (sleep_until(_PyPth_Deadline(from_timespec(request)), left) != 0) {
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
    if (sleep_until(_PyPth_Deadline(from_timespec(&ts)), &left) != 0) {
        // whole seconds, rounded up: 0 would say that all was slept
        return (unsigned int)left.tv_sec + (left.tv_nsec > 0);
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

DECLARE_REAL(sched_yield)

MAPPED int
sched_yield(void)
{
    if (can_switch()) {
        _PyPth_EndSlice();
    }
    return real(sched_yield)();
}


/* Sockets: MSG_DONTWAIT tells a call that would block from one that would
   not, without another system call. */

DECLARE_REAL(recv)
DECLARE_REAL(recvfrom)
DECLARE_REAL(recvmsg)
DECLARE_REAL(send)
DECLARE_REAL(sendto)
DECLARE_REAL(sendmsg)
DECLARE_REAL(accept)
DECLARE_REAL(accept4)
DECLARE_REAL(connect)

MAPPED ssize_t
recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
         socklen_t *addrlen)
{
    if ((flags & RECV_AT_ONCE) || !can_switch()) {
        return real(recvfrom)(fd, buf, len, flags, addr, addrlen);
    }
    PyTime_t deadline = 0;
    size_t done = 0;
    for (;;) {
        ssize_t n = real(recvfrom)(fd, (char *)buf + done, len - done,
                                   flags | MSG_DONTWAIT, addr, addrlen);
        if (n > 0 && (flags & MSG_WAITALL) && !(flags & MSG_PEEK)) {
            done += (size_t)n;
            if (done < len) {
                continue;
            }
            return (ssize_t)done;
        }
        if (n >= 0 || !would_block()) {
            return done > 0 ? (ssize_t)done : n;
        }
        if (wait_socket(fd, POLLIN, &deadline) < 0) {
            return done > 0 ? (ssize_t)done : -1;
        }
    }
}

MAPPED ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
    if (!can_switch()) {
        return real(recv)(fd, buf, len, flags);
    }
    return recvfrom(fd, buf, len, flags, NULL, NULL);
}

MAPPED ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
    if ((flags & RECV_AT_ONCE) || !can_switch()) {
        return real(recvmsg)(fd, msg, flags);
    }
    PyTime_t deadline = 0;
    // The kernel shortens these lengths, whatever it returns.
    socklen_t namelen = msg->msg_namelen;
    size_t controllen = msg->msg_controllen;
    for (;;) {
        ssize_t n = real(recvmsg)(fd, msg, flags | MSG_DONTWAIT);
        if (n >= 0 || !would_block()) {
            return n;
        }
        msg->msg_namelen = namelen;
        msg->msg_controllen = controllen;
        if (wait_socket(fd, POLLIN, &deadline) < 0) {
            return -1;
        }
    }
}

// A blocking send() on a stream returns when all is sent.
MAPPED ssize_t
sendto(int fd, const void *buf, size_t len, int flags,
       const struct sockaddr *addr, socklen_t addrlen)
{
    if ((flags & MSG_DONTWAIT) || !can_switch()) {
        return real(sendto)(fd, buf, len, flags, addr, addrlen);
    }
    PyTime_t deadline = 0;
    size_t done = 0;
    for (;;) {
        ssize_t n = real(sendto)(fd, (const char *)buf + done, len - done,
                                 flags | MSG_DONTWAIT, addr, addrlen);
        if (n >= 0) {
            done += (size_t)n;
            if (done >= len) {
                return (ssize_t)done;
            }
            if (is_nonblocking(fd)) {
                return (ssize_t)done;
            }
        }
        else if (!would_block()) {
            return done > 0 ? (ssize_t)done : -1;
        }
        if (wait_socket(fd, POLLOUT, &deadline) < 0) {
            return done > 0 ? (ssize_t)done : -1;
        }
    }
}

MAPPED ssize_t
send(int fd, const void *buf, size_t len, int flags)
{
    if (!can_switch()) {
        return real(send)(fd, buf, len, flags);
    }
    return sendto(fd, buf, len, flags, NULL, 0);
}

// Take `n` bytes off the front of an I/O vector.
static void
iov_advance(struct iovec **iov, size_t *iovcnt, size_t n)
{
    while (*iovcnt > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*iovcnt)--;
    }
    if (*iovcnt > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

static size_t
iov_length(const struct iovec *iov, size_t iovcnt)
{
    size_t len = 0;
    for (size_t i = 0; i < iovcnt; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

MAPPED ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if ((flags & MSG_DONTWAIT) || !can_switch()) {
        return real(sendmsg)(fd, msg, flags);
    }
    PyTime_t deadline = 0;
    size_t len = iov_length(msg->msg_iov, msg->msg_iovlen), done = 0;
    struct msghdr m = *msg;
    struct iovec *copy = NULL;
    ssize_t result;
    for (;;) {
        ssize_t n = real(sendmsg)(fd, &m, flags | MSG_DONTWAIT);
        if (n >= 0) {
            done += (size_t)n;
            if (done >= len || is_nonblocking(fd)) {
                result = (ssize_t)done;
                break;
            }
            if (copy == NULL) {
                copy = malloc(m.msg_iovlen * sizeof(*copy));
                if (copy == NULL) {
                    // A short count is what a signal may leave, too.
                    result = (ssize_t)done;
                    break;
                }
                memcpy(copy, m.msg_iov, m.msg_iovlen * sizeof(*copy));
                m.msg_iov = copy;
                // Descriptors and credentials went with the first bytes.
                m.msg_control = NULL;
                m.msg_controllen = 0;
            }
            iov_advance(&m.msg_iov, &m.msg_iovlen, (size_t)n);
        }
        else if (!would_block()) {
            result = done > 0 ? (ssize_t)done : -1;
            break;
        }
        if (wait_socket(fd, POLLOUT, &deadline) < 0) {
            result = done > 0 ? (ssize_t)done : -1;
            break;
        }
    }
    if (copy != NULL) {
        int err = errno;
        free(copy);
        errno = err;
    }
    return result;
}

// Wait until `fd` has something for accept() or read().
// Return 0 when the call can be made, or -1 and errno.
static int
wait_before(int fd, short events)
{
    struct pollfd p = {fd, events, 0};
    if (real(poll)(&p, 1, 0) != 0) {
        // Ready, or an error that the call itself reports.
        return 0;
    }
    int flags = fcntl(fd, F_GETFL);
    int mode = flags & O_ACCMODE;
    if (flags < 0 || (flags & O_NONBLOCK)
        || mode == (events == POLLIN ? O_WRONLY : O_RDONLY))
    {
        // EAGAIN, or EBADF: the wrong end of a pipe never becomes ready.
        return 0;
    }
    return wait_fd(fd, events, _PyPth_FOREVER);
}

MAPPED int
accept(int fd, struct sockaddr *addr, socklen_t *addrlen)
{
    if (can_switch()) {
        if (wait_before(fd, POLLIN) < 0) {
            return -1;
        }
    }
    return real(accept)(fd, addr, addrlen);
}

MAPPED int
accept4(int fd, struct sockaddr *addr, socklen_t *addrlen, int flags)
{
    if (can_switch()) {
        if (wait_before(fd, POLLIN) < 0) {
            return -1;
        }
    }
    return real(accept4)(fd, addr, addrlen, flags);
}

MAPPED int
connect(int fd, const struct sockaddr *addr, socklen_t addrlen)
{
    if (!can_switch()) {
        return real(connect)(fd, addr, addrlen);
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK)) {
        return real(connect)(fd, addr, addrlen);
    }
    PyTime_t deadline = 0;
    for (;;) {
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        int result = real(connect)(fd, addr, addrlen);
        int err = errno;
        (void)fcntl(fd, F_SETFL, flags);
        errno = err;
        if (result == 0) {
            return 0;
        }
        if (err == EINPROGRESS) {
            break;
        }
        if (err != EAGAIN) {
            return -1;
        }
        // A UNIX socket whose listener is behind: nothing tells when there is
        // room again.
        if (deadline == 0) {
            deadline = socket_deadline(fd, SO_SNDTIMEO);
        }
        if (deadline != _PyPth_FOREVER && time_left(deadline) == 0) {
            errno = EAGAIN;
            return -1;
        }
        if (sleep_until(_PyPth_Deadline(1000000), NULL) != 0) {
            errno = EINTR;
            return -1;
        }
    }
    if (wait_socket(fd, POLLOUT, &deadline) < 0) {
        if (errno == EAGAIN) {
            errno = EINPROGRESS;      // SO_SNDTIMEO, see socket(7)
        }
        return -1;
    }
    int err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0) {
        return -1;
    }
    if (err != 0) {
        errno = err;
        return -1;
    }
    return 0;
}


/* Files, pipes, terminals */

DECLARE_REAL(read)
DECLARE_REAL(readv)
DECLARE_REAL(write)
DECLARE_REAL(writev)

typedef enum {
    FD_FILE,                      // never waits for anybody: plain call
    FD_SOCKET,
    FD_OTHER,                     // pipe, terminal, eventfd, ...
} fd_kind;

static fd_kind
kind_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)
        || S_ISDIR(st.st_mode))
    {
        return FD_FILE;
    }
    return S_ISSOCK(st.st_mode) ? FD_SOCKET : FD_OTHER;
}

MAPPED ssize_t
read(int fd, void *buf, size_t len)
{
    if (_PyPth_in_pth && fd == pth_pipe) {
        // Pth's event manager empties its pipe, see below.
        errno = EAGAIN;
        return -1;
    }
    if (can_switch() && len > 0) {
        switch (kind_of(fd)) {
        case FD_SOCKET:
            return recvfrom(fd, buf, len, 0, NULL, NULL);
        case FD_OTHER:
            if (wait_before(fd, POLLIN) < 0) {
                return -1;
            }
            break;
        case FD_FILE:
            break;
        }
    }
    return real(read)(fd, buf, len);
}

MAPPED ssize_t
readv(int fd, const struct iovec *iov, int iovcnt)
{
    if (can_switch() && kind_of(fd) != FD_FILE) {
        if (wait_before(fd, POLLIN) < 0) {
            return -1;
        }
    }
    return real(readv)(fd, iov, iovcnt);
}

// A pipe or terminal that poll() calls writable takes PIPE_BUF bytes without
// blocking (pipe(7)); a longer write goes in pieces of that size.
static ssize_t
write_pieces(int fd, const void *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (wait_before(fd, POLLOUT) < 0) {
            return done > 0 ? (ssize_t)done : -1;
        }
        ssize_t n = real(write)(fd, (const char *)buf + done,
                                Py_MIN(len - done, (size_t)PIPE_BUF));
        if (n < 0) {
            return done > 0 ? (ssize_t)done : -1;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

MAPPED ssize_t
write(int fd, const void *buf, size_t len)
{
    if (can_switch() && len > 0) {
        switch (kind_of(fd)) {
        case FD_SOCKET:
            return sendto(fd, buf, len, 0, NULL, 0);
        case FD_OTHER:
            if (!is_nonblocking(fd)) {
                return write_pieces(fd, buf, len);
            }
            break;
        case FD_FILE:
            break;
        }
    }
    return real(write)(fd, buf, len);
}

MAPPED ssize_t
writev(int fd, const struct iovec *iov, int iovcnt)
{
    if (can_switch() && iovcnt > 0) {
        switch (kind_of(fd)) {
        case FD_SOCKET: {
            struct msghdr msg;
            memset(&msg, 0, sizeof(msg));
            msg.msg_iov = (struct iovec *)iov;
            msg.msg_iovlen = (size_t)iovcnt;
            return sendmsg(fd, &msg, 0);
        }
        case FD_OTHER: {
            size_t len = iov_length(iov, (size_t)iovcnt);
            if (len <= PIPE_BUF) {
                if (wait_before(fd, POLLOUT) < 0) {
                    return -1;
                }
                break;
            }
            if (is_nonblocking(fd)) {
                break;
            }
            ssize_t done = 0;
            for (int i = 0; i < iovcnt; i++) {
                if (iov[i].iov_len == 0) {
                    continue;
                }
                ssize_t n = write_pieces(fd, iov[i].iov_base, iov[i].iov_len);
                if (n < 0) {
                    return done > 0 ? done : -1;
                }
                done += n;
                if ((size_t)n < iov[i].iov_len) {
                    break;
                }
            }
            return done;
        }
        case FD_FILE:
            break;
        }
    }
    return real(writev)(fd, iov, iovcnt);
}


DECLARE_REAL(sendfile)

// No flag makes sendfile() return instead of block: the descriptor does.
static ssize_t
sendfile_nonblocking(int out, int in, off_t *offset, size_t count, int flags)
{
    (void)fcntl(out, F_SETFL, flags | O_NONBLOCK);
    ssize_t n = real(sendfile)(out, in, offset, count);
    int err = errno;
    (void)fcntl(out, F_SETFL, flags);
    errno = err;
    return n;
}

MAPPED ssize_t
sendfile(int out, int in, off_t *offset, size_t count)
{
    int flags;
    if (!can_switch() || kind_of(out) == FD_FILE
        || (flags = fcntl(out, F_GETFL)) < 0 || (flags & O_NONBLOCK))
    {
        return real(sendfile)(out, in, offset, count);
    }
    size_t done = 0;
    while (done < count) {
        ssize_t n = sendfile_nonblocking(out, in, offset, count - done, flags);
        if (n > 0) {
            done += (size_t)n;
        }
        else if (n == 0) {
            break;                // the end of the file
        }
        else if (!would_block()
                 || wait_fd(out, POLLOUT, _PyPth_FOREVER) < 0)
        {
            return done > 0 ? (ssize_t)done : -1;
        }
    }
    return (ssize_t)done;
}


/* Child processes */

DECLARE_REAL(wait4)
DECLARE_REAL(waitid)

// Called while a child that is waited for has not changed its state: wait for
// the end of the child `pid`, or a little longer each time (`*pause`, in
// nanoseconds), for nothing tells of a stopped child, or of any child.
// Return 0, or -1 and errno.
static int
wait_child(pid_t pid, int only_exit, PyTime_t *pause)
{
#ifdef SYS_pidfd_open
    if (pid > 0 && only_exit) {
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd >= 0) {
            int result = wait_fd(fd, POLLIN, _PyPth_FOREVER);
            int err = errno;
            close(fd);
            errno = err;
            return result;
        }
    }
#endif
    *pause = *pause == 0 ? 200000 : Py_MIN(*pause * 2, (PyTime_t)10000000);
    if (sleep_until(_PyPth_Deadline(*pause), NULL) != 0) {
        errno = EINTR;
        return -1;
    }
    return 0;
}

MAPPED pid_t
wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    if ((options & WNOHANG) || !can_switch()) {
        return real(wait4)(pid, status, options, usage);
    }
    PyTime_t pause = 0;
    for (;;) {
        pid_t child = real(wait4)(pid, status, options | WNOHANG, usage);
        if (child != 0) {
            return child;
        }
        if (wait_child(pid, !(options & (WUNTRACED | WCONTINUED)), &pause) < 0) {
            return -1;
        }
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
    if ((options & WNOHANG) || !can_switch()) {
        return real(waitid)(type, id, info, options);
    }
    siginfo_t found;
    PyTime_t pause = 0;
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
        if (wait_child(type == P_PID ? (pid_t)id : -1,
                       !(options & (WSTOPPED | WCONTINUED)), &pause) < 0)
        {
            return -1;
        }
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
        _PyPth_current->sigwait = set;
        result = wait_fd(fd, POLLIN, deadline);
        _PyPth_current->sigwait = NULL;
        if (result < 0) {
            break;
        }
    }
    if (fd >= 0) {
        int err = errno;
        close(fd);
        errno = err;
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
    while (sleep_until(_PyPth_FOREVER, NULL) == 0) {
    }
    errno = EINTR;
    return -1;
}


/* What a program calls that is compiled with -D_FORTIFY_SOURCE */

extern void __chk_fail(void) __attribute__((noreturn));

MAPPED ssize_t
__read_chk(int fd, void *buf, size_t len, size_t size)
{
    if (len > size) {
        __chk_fail();
    }
    return read(fd, buf, len);
}

MAPPED ssize_t
__recv_chk(int fd, void *buf, size_t len, size_t size, int flags)
{
    if (len > size) {
        __chk_fail();
    }
    return recv(fd, buf, len, flags);
}

MAPPED ssize_t
__recvfrom_chk(int fd, void *buf, size_t len, size_t size, int flags,
               struct sockaddr *addr, socklen_t *addrlen)
{
    if (len > size) {
        __chk_fail();
    }
    return recvfrom(fd, buf, len, flags, addr, addrlen);
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


/* What Pth's scheduler calls in every pass, to no purpose: no Python thread
   waits for a signal, a descriptor or a time in Pth, so nothing comes out of
   its pipe.  The scheduler's own context has all signals blocked (pth_sched.c,
   pth_scheduler()), and the switch to a thread brings the thread's mask. */

DECLARE_REAL(pthread_sigmask)
DECLARE_REAL(sigpending)
DECLARE_REAL(pipe)

MAPPED int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    if (_PyPth_in_pth) {
        if (old != NULL) {
            sigfillset(old);
        }
        return 0;
    }
    int err = pthread_sigmask(how, set, old);
    if (err != 0) {
        errno = err;
        return -1;
    }
    return 0;
}

int
_PyPth_sys_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return real(pthread_sigmask)(how, set, old);
}

MAPPED int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    if (set == NULL || !_PyPth_IsKernelThread()) {
        return real(pthread_sigmask)(how, set, old);
    }
    sigset_t allowed = *set;
    if (how != SIG_UNBLOCK) {
        _PyPth_UnblockSlice(&allowed);
    }
    int err = real(pthread_sigmask)(how, &allowed, old);
    if (err == 0) {
        _PyPth_MaskChanged();
    }
    return err;
}

MAPPED int
sigpending(sigset_t *set)
{
    if (_PyPth_in_pth) {
        return sigemptyset(set);
    }
    int result = real(sigpending)(set);
    if (result == 0 && _PyPth_current->has_pending
        && _PyPth_IsKernelThread())
    {
        sigset_t own = *set;
        sigorset(set, &own, &_PyPth_current->pending);
    }
    return result;
}

MAPPED int
pipe(int fds[2])
{
    if (_PyPth_pipe_for_init[0] >= 0) {
        memcpy(fds, _PyPth_pipe_for_init, sizeof(_PyPth_pipe_for_init));
        pth_pipe = fds[0];
        _PyPth_pipe_for_init[0] = -1;
        return 0;
    }
    return real(pipe)(fds);
}
