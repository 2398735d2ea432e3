// GNU Pth backend, system call mapping: sockets.
//
// MSG_DONTWAIT tells a call that would block from one that would not, without
// another system call.

#include "pth_syscalls.h"

#include <netinet/in.h>           // IPPROTO_TCP
#include <sys/uio.h>

DECLARE_REAL(recv)
DECLARE_REAL(recvfrom)
DECLARE_REAL(recvmsg)
DECLARE_REAL(recvmmsg)
DECLARE_REAL(send)
DECLARE_REAL(sendto)
DECLARE_REAL(sendmsg)
DECLARE_REAL(sendmmsg)
DECLARE_REAL(accept)
DECLARE_REAL(accept4)
DECLARE_REAL(connect)
DECLARE_REAL(fcntl)

// Flags of recv*() with which it never blocks.
#define RECV_AT_ONCE (MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB)

PyTime_t
_PyPth_SocketDeadline(int fd, int option)
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

// An option that is an int and not negative; or -1 and errno.
static int
socket_option(int fd, int option)
{
    int value;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static int
is_stream(int fd)
{
    return socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

// A read of less than was asked for has taken all there was.  (A datagram is
// another matter, and so are UNIX sockets: they stop where the sender
// changes.)
static int
is_tcp(int fd)
{
    return socket_option(fd, SO_PROTOCOL) == IPPROTO_TCP;
}

int
_PyPth_BlocksForEver(int fd)
{
    return !_PyPth_IsNonblocking(fd)
           && _PyPth_SocketDeadline(fd, SO_RCVTIMEO) == _PyPth_FOREVER
           && is_tcp(fd);
}

// A call on a socket has said EAGAIN, or would.  Return 0 when it is worth
// another try, or -1 and errno.  *deadline is 0 before the first call.
static int
wait_socket(int fd, short events, PyTime_t *deadline)
{
    if (events == POLLIN && _PyPth_HasEdges(fd)) {
        return _PyPth_WaitFd(fd, POLLIN, _PyPth_FOREVER, _PyPth_EDGES) < 0
               ? -1 : 0;
    }
    if (_PyPth_IsNonblocking(fd)) {
        errno = EAGAIN;
        return -1;
    }
    if (*deadline == 0) {
        *deadline = _PyPth_SocketDeadline(fd, events == POLLIN ? SO_RCVTIMEO
                                                               : SO_SNDTIMEO);
    }
    int edges = 0;
    if (events == POLLIN && *deadline == _PyPth_FOREVER && is_tcp(fd)) {
        edges = _PyPth_EDGES;
    }
    int revents = _PyPth_WaitFd(fd, events, *deadline, edges);
    if (revents < 0) {
        return -1;
    }
    if (events == POLLOUT && (revents & POLLERR)) {
        // A call that has waited tells of this before it looks at anything
        // else (kernel, net/core/sock.c, sock_alloc_send_pskb()).
        int err = socket_option(fd, SO_ERROR);
        if (err > 0) {
            errno = err;
            return -1;
        }
    }
    return 0;
}


/* Receiving */

// Waits until so much has come in, which poll() does not tell of.
#define PEEK_ALL (MSG_PEEK | MSG_WAITALL)

MAPPED ssize_t
recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
         socklen_t *addrlen)
{
    if ((flags & RECV_AT_ONCE) || !can_switch()) {
        return real(recvfrom)(fd, buf, len, flags, addr, addrlen);
    }
    if ((flags & PEEK_ALL) == PEEK_ALL) {
        make_room();
        return real(recvfrom)(fd, buf, len, flags, addr, addrlen);
    }
    PyTime_t deadline = 0;
    size_t done = 0;
    // If there is nothing, let others run; but not one that computes, which
    // would keep this thread waiting if there is something after all.
    if (flags == 0 && len > 0 && _PyPth_IsDrained(fd)
        && !_PyPth_SomeoneComputes() && wait_socket(fd, POLLIN, &deadline) < 0)
    {
        return -1;
    }
    for (;;) {
        ssize_t n = real(recvfrom)(fd, (char *)buf + done, len - done,
                                   flags | MSG_DONTWAIT, addr, addrlen);
        if (n > 0 && flags == 0 && (size_t)n < len) {
            _PyPth_Drained(fd);
        }
        if (n > 0 && (flags & MSG_WAITALL)) {
            done += (size_t)n;
            // Of a datagram there is no more.
            if (done < len && is_stream(fd)) {
                continue;
            }
            return (ssize_t)done;
        }
        if (n >= 0 || !would_block()) {
            return n >= 0 ? (ssize_t)done + n : done_or_error(done);
        }
        if (wait_socket(fd, POLLIN, &deadline) < 0) {
            return done_or_error(done);
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

// Change msg->msg_iov to a copy, which the caller frees.
static struct iovec *
iov_copy(struct msghdr *msg)
{
    struct iovec *copy = malloc(msg->msg_iovlen * sizeof(*copy));
    if (copy != NULL) {
        memcpy(copy, msg->msg_iov, msg->msg_iovlen * sizeof(*copy));
        msg->msg_iov = copy;
    }
    return copy;
}

static void
free_keeping_errno(void *memory)
{
    int err = errno;
    free(memory);
    errno = err;
}

// recvmsg() with MSG_WAITALL of a stream has returned `done` bytes, not all:
// receive the rest.  Descriptors and credentials end it (unix(7)).
static ssize_t
recvmsg_rest(int fd, struct msghdr *msg, size_t controllen, size_t done,
             int flags, PyTime_t deadline)
{
    size_t len = iov_length(msg->msg_iov, msg->msg_iovlen);
    struct msghdr m = *msg;
    struct iovec *copy = NULL;
    if (done >= len || msg->msg_controllen > 0
        || (msg->msg_flags & (MSG_EOR | MSG_CTRUNC)) || !is_stream(fd)
        || (copy = iov_copy(&m)) == NULL)
    {
        return (ssize_t)done;
    }
    iov_advance(&m.msg_iov, &m.msg_iovlen, done);
    m.msg_name = NULL;
    m.msg_namelen = 0;
    while (done < len) {
        m.msg_controllen = controllen;
        ssize_t n = real(recvmsg)(fd, &m, flags | MSG_DONTWAIT);
        if (n < 0) {
            m.msg_controllen = 0;
            if (would_block() && wait_socket(fd, POLLIN, &deadline) == 0) {
                continue;
            }
            break;
        }
        done += (size_t)n;
        iov_advance(&m.msg_iov, &m.msg_iovlen, (size_t)n);
        if (n == 0 || m.msg_controllen > 0) {
            break;
        }
    }
    forget_error();
    msg->msg_controllen = m.msg_controllen;
    msg->msg_flags = m.msg_flags;
    free(copy);
    return (ssize_t)done;
}

MAPPED ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
    if ((flags & RECV_AT_ONCE) || !can_switch()) {
        return real(recvmsg)(fd, msg, flags);
    }
    if ((flags & PEEK_ALL) == PEEK_ALL) {
        make_room();
        return real(recvmsg)(fd, msg, flags);
    }
    PyTime_t deadline = 0;
    // The kernel shortens these lengths, whatever it returns.
    socklen_t namelen = msg->msg_namelen;
    size_t controllen = msg->msg_controllen;
    for (;;) {
        ssize_t n = real(recvmsg)(fd, msg, flags | MSG_DONTWAIT);
        if (n > 0 && (flags & MSG_WAITALL)) {
            return recvmsg_rest(fd, msg, controllen, (size_t)n, flags,
                                deadline);
        }
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

// The kernel looks at `timeout` after each message, and waits for the next
// without it (recvmmsg(2), BUGS).
MAPPED int
recvmmsg(int fd, struct mmsghdr *vec, unsigned int vlen, int flags,
         struct timespec *timeout)
{
    if ((flags & (RECV_AT_ONCE | MSG_WAITALL | MSG_PEEK)) || vlen == 0
        || (timeout != NULL && !valid_timespec(timeout)) || !can_switch())
    {
        return real(recvmmsg)(fd, vec, vlen, flags, timeout);
    }
    PyTime_t end = timeout == NULL ? _PyPth_FOREVER
                                   : _PyPth_Deadline(from_timespec(timeout));
    PyTime_t deadline = 0;
    unsigned int done = 0;
    for (;;) {
        int n = real(recvmmsg)(fd, vec + done, vlen - done,
                               flags | MSG_DONTWAIT, NULL);
        if (n > 0) {
            done += (unsigned int)n;
        }
        else if (!would_block()) {
            break;
        }
        if (done > 0
            && (done == vlen || (flags & MSG_WAITFORONE)
                || (end != _PyPth_FOREVER && time_left(end) == 0)))
        {
            break;
        }
        if (wait_socket(fd, POLLIN, &deadline) < 0) {
            break;
        }
    }
    if (timeout != NULL) {
        _PyTime_AsTimespec_clamp(time_left(end), timeout);
    }
    return (int)done_or_error(done);
}


/* Sending: on a stream, a blocking send() returns when all is sent. */

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
            if (done >= len || _PyPth_IsNonblocking(fd)) {
                return (ssize_t)done;
            }
        }
        else if (!would_block()) {
            return done_or_error(done);
        }
        if (wait_socket(fd, POLLOUT, &deadline) < 0) {
            return done_or_error(done);
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
    for (;;) {
        ssize_t n = real(sendmsg)(fd, &m, flags | MSG_DONTWAIT);
        if (n >= 0) {
            done += (size_t)n;
            if (done >= len || _PyPth_IsNonblocking(fd)) {
                break;
            }
            if (copy == NULL) {
                copy = iov_copy(&m);
                if (copy == NULL) {
                    // A short count is what a signal may leave, too.
                    break;
                }
                // Descriptors and credentials went with the first bytes.
                m.msg_control = NULL;
                m.msg_controllen = 0;
            }
            iov_advance(&m.msg_iov, &m.msg_iovlen, (size_t)n);
        }
        else if (!would_block()) {
            if (done == 0) {
                free_keeping_errno(copy);
                return -1;
            }
            break;
        }
        if (wait_socket(fd, POLLOUT, &deadline) < 0) {
            if (done == 0) {
                free_keeping_errno(copy);
                return -1;
            }
            break;
        }
    }
    free(copy);
    forget_error();
    return (ssize_t)done;
}

MAPPED int
sendmmsg(int fd, struct mmsghdr *vec, unsigned int vlen, int flags)
{
    if ((flags & MSG_DONTWAIT) || vlen == 0 || !can_switch()) {
        return real(sendmmsg)(fd, vec, vlen, flags);
    }
    unsigned int done = 0;
    if (!is_stream(fd)) {
        // Datagrams go at once, as long as there is room.  Of a stream's
        // message only a part might.
        int n = real(sendmmsg)(fd, vec, vlen, flags | MSG_DONTWAIT);
        if (n < 0 && !would_block()) {
            return -1;
        }
        done = n > 0 ? (unsigned int)n : 0;
        forget_error();
    }
    while (done < vlen) {
        ssize_t n = sendmsg(fd, &vec[done].msg_hdr, flags);
        if (n < 0) {
            return (int)done_or_error(done);
        }
        vec[done++].msg_len = (unsigned int)n;
    }
    return (int)done;
}


/* Connections */

// Nothing tells accept() not to block, see docs/syscalls.md.
static int
wait_accept(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    if (_PyPth_PollNow(&p, 1) != 0) {
        return 0;
    }
    if (socket_option(fd, SO_ACCEPTCONN) <= 0) {
        // The call itself will say so.
        return 0;
    }
    return _PyPth_WaitBefore(fd, POLLIN,
                             _PyPth_SocketDeadline(fd, SO_RCVTIMEO));
}

MAPPED int
accept(int fd, struct sockaddr *addr, socklen_t *addrlen)
{
    if (can_switch() && wait_accept(fd) < 0) {
        return -1;
    }
    return real(accept)(fd, addr, addrlen);
}

MAPPED int
accept4(int fd, struct sockaddr *addr, socklen_t *addrlen, int flags)
{
    if (can_switch() && wait_accept(fd) < 0) {
        return -1;
    }
    return real(accept4)(fd, addr, addrlen, flags);
}

MAPPED int
connect(int fd, const struct sockaddr *addr, socklen_t addrlen)
{
    int flags;
    if (!can_switch() || (flags = real(fcntl)(fd, F_GETFL)) < 0
        || (flags & O_NONBLOCK))
    {
        return real(connect)(fd, addr, addrlen);
    }
    (void)real(fcntl)(fd, F_SETFL, flags | O_NONBLOCK);
    int result = real(connect)(fd, addr, addrlen);
    int err = errno;
    (void)real(fcntl)(fd, F_SETFL, flags);
    errno = err;
    if (result == 0) {
        return 0;
    }
    if (err == EAGAIN) {
        // A UNIX socket whose listener is behind: nothing tells when there is
        // room again.
        make_room();
        return real(connect)(fd, addr, addrlen);
    }
    if (err != EINPROGRESS) {
        return -1;
    }
    PyTime_t deadline = 0;
    if (wait_socket(fd, POLLOUT, &deadline) < 0) {
        if (errno == EAGAIN) {
            errno = EINPROGRESS;      // SO_SNDTIMEO, see socket(7)
        }
        return -1;
    }
    err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0) {
        return -1;
    }
    if (err != 0) {
        errno = err;
        return -1;
    }
    forget_error();
    return 0;
}


/* What a program calls that is compiled with -D_FORTIFY_SOURCE */

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
