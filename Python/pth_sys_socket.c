// GNU Pth backend, system call mapping: sockets.
//
// MSG_DONTWAIT tells a call that would block from one that would not, without
// another system call.  How it blocks, the socket says: that is asked once a
// call.  Where it does so in other ways than "until there is something", with a
// time limit, a flag, a low-water mark, the plain call is made.

#include "pth_syscalls.h"

#include <netinet/in.h>           // IPPROTO_TCP
#include <stdarg.h>
#include <sys/ioctl.h>            // FIONBIO

DECLARE_REAL(recv)
DECLARE_REAL(recvfrom)
DECLARE_REAL(send)
DECLARE_REAL(accept)
DECLARE_REAL(accept4)
DECLARE_REAL(fcntl)
DECLARE_REAL(ioctl)
DECLARE_REAL(setsockopt)

// Some socket may have SO_RCVLOWAT.
static char lowat_used = 0;

// An option that is an int and not negative; or -1 and errno.
static int
socket_option(int fd, int option)
{
    int value;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static int
has_time_limit(int fd, int option)
{
    struct timeval tv;
    socklen_t len = sizeof(tv);
    return getsockopt(fd, SOL_SOCKET, option, &tv, &len) != 0
           || tv.tv_sec != 0 || tv.tv_usec != 0;
}

int
_PyPth_SocketCallsInterposed(void)
{
    return is_interposed(recvfrom) || is_interposed(send);
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
    return !_PyPth_IsNonblocking(fd) && !has_time_limit(fd, SO_RCVTIMEO)
           && is_tcp(fd);
}


/* Receiving */

// How a call blocks that has found nothing.
typedef struct {
    char asked;                   // the socket was asked
    int flags;                    // of the wait
} how_to_wait;

// Return 0 when it is worth another try, -1 and errno, or CANNOT_WAIT.
static int
wait_input(int fd, how_to_wait *how)
{
    if (!how->asked && _PyPth_HasEdges(fd)) {
        int result = _PyPth_WaitFd(fd, POLLIN, _PyPth_EDGES, NULL);
        if (_PyPth_self->confirmed) {
            how->asked = 1;
        }
        return result;
    }
    if (!how->asked) {
        if (_PyPth_IsNonblocking(fd)) {
            errno = EAGAIN;
            return -1;
        }
        if (has_time_limit(fd, SO_RCVTIMEO)) {
            return CANNOT_WAIT;
        }
        how->asked = 1;
        how->flags = is_tcp(fd) ? _PyPth_EDGES : 0;
    }
    return _PyPth_WaitFd(fd, POLLIN, how->flags, NULL);
}

ssize_t
_PyPth_Recv(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
            socklen_t *addrlen)
{
    how_to_wait how = {0, 0};
    int wait = 0;
    if (_PyPth_WasNonblocking(fd)) {
        return real(recvfrom)(fd, buf, len, flags, addr, addrlen);
    }
    mapped_call();
    if (lowat_used && socket_option(fd, SO_RCVLOWAT) > 1) {
        wait = CANNOT_WAIT;
    }
    // If there is nothing, let others run; but not one that computes, which
    // would keep this thread waiting if there is something after all.
    else if (flags == 0 && len > 0 && _PyPth_IsDrained(fd)
             && !_PyPth_SomeoneComputes())
    {
        wait = wait_input(fd, &how);
    }
    while (wait == 0) {
        ssize_t n = real(recvfrom)(fd, buf, len, flags | MSG_DONTWAIT, addr,
                                   addrlen);
        if (n > 0 && flags == 0 && (size_t)n < len) {
            _PyPth_Drained(fd);
        }
        if (n >= 0 || !would_block()) {
            return n;
        }
        wait = wait_input(fd, &how);
    }
    if (wait < 0) {
        return -1;
    }
    plain_call();
    return real(recvfrom)(fd, buf, len, flags, addr, addrlen);
}

// May the call be mapped?  With other flags it does not wait, or for more.
static inline int
is_mapped(int flags)
{
    if ((flags & ~(MSG_PEEK | MSG_TRUNC | MSG_NOSIGNAL)) == 0) {
        return can_switch();
    }
    if ((flags & MSG_WAITALL) && can_switch()) {
        leave_first();
    }
    return 0;
}

MAPPED ssize_t
recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr,
         socklen_t *addrlen)
{
    if (!is_mapped(flags) || is_interposed(recvfrom)) {
        return real(recvfrom)(fd, buf, len, flags, addr, addrlen);
    }
    return _PyPth_Recv(fd, buf, len, flags, addr, addrlen);
}

MAPPED ssize_t
recv(int fd, void *buf, size_t len, int flags)
{
    if (!is_mapped(flags) || is_interposed(recv) || is_interposed(recvfrom)) {
        return real(recv)(fd, buf, len, flags);
    }
    return _PyPth_Recv(fd, buf, len, flags, NULL, NULL);
}

// What a program calls that is compiled with -D_FORTIFY_SOURCE.
MAPPED ssize_t
__recv_chk(int fd, void *buf, size_t len, size_t size, int flags)
{
    if (len > size) {
        __chk_fail();
    }
    return recv(fd, buf, len, flags);
}


/* Sending: on a stream, a blocking send() returns when all is sent. */

// A call that has waited tells of an error before it looks at anything else
// (kernel, net/core/sock.c, sock_alloc_send_pskb()).
static int
has_error(int fd)
{
    int err = socket_option(fd, SO_ERROR);
    if (err > 0) {
        errno = err;
    }
    return err > 0;
}

ssize_t
_PyPth_Send(int fd, const void *buf, size_t len, int flags)
{
    size_t done = 0;
    int asked = 0, wait = 0;
    if (_PyPth_WasNonblocking(fd)) {
        return real(send)(fd, buf, len, flags);
    }
    mapped_call();
    while (wait == 0) {
        ssize_t n = real(send)(fd, (const char *)buf + done, len - done,
                               flags | MSG_DONTWAIT);
        if (n >= 0) {
            done += (size_t)n;
            if (done >= len) {
                return (ssize_t)done;
            }
        }
        else if (!would_block()) {
            break;
        }
        if (!asked) {
            asked = 1;
            if (_PyPth_IsNonblocking(fd)) {
                errno = EAGAIN;
                break;
            }
            if (socket_option(fd, SO_TYPE) != SOCK_STREAM
                || has_time_limit(fd, SO_SNDTIMEO))
            {
                wait = CANNOT_WAIT;
                continue;
            }
        }
        short revents = 0;
        wait = _PyPth_WaitFd(fd, POLLOUT, 0, &revents);
        if (wait == 0 && (revents & (POLLERR | POLLHUP))
            && (done > 0 || has_error(fd)))
        {
            // The next call tells what it is, after some was sent.
            break;
        }
    }
    if (wait == CANNOT_WAIT) {
        leave_first();
        plain_call();
        ssize_t n = real(send)(fd, (const char *)buf + done, len - done,
                               done > 0 ? flags | MSG_NOSIGNAL : flags);
        if (n >= 0) {
            return (ssize_t)done + n;
        }
    }
    if (done == 0) {
        return -1;
    }
    forget_error();
    return (ssize_t)done;
}

MAPPED ssize_t
send(int fd, const void *buf, size_t len, int flags)
{
    if ((flags & ~MSG_NOSIGNAL) || !can_map(send)) {
        return real(send)(fd, buf, len, flags);
    }
    return _PyPth_Send(fd, buf, len, flags);
}


/* Connections.  Nothing tells accept() not to block.  If somebody else takes the
   connection that poll() tells of, the plain call blocks, and the thread is left
   behind. */

static int
accept_blocks(int fd)
{
    return !_PyPth_IsNonblocking(fd) && !has_time_limit(fd, SO_RCVTIMEO)
           && socket_option(fd, SO_ACCEPTCONN) > 0;
}

MAPPED int
accept(int fd, struct sockaddr *addr, socklen_t *addrlen)
{
    if (can_map(accept) && _PyPth_WaitInput(fd, accept_blocks) < 0) {
        return -1;
    }
    return real(accept)(fd, addr, addrlen);
}

MAPPED int
accept4(int fd, struct sockaddr *addr, socklen_t *addrlen, int flags)
{
    if (can_map(accept4) && _PyPth_WaitInput(fd, accept_blocks) < 0) {
        return -1;
    }
    return real(accept4)(fd, addr, addrlen, flags);
}


/* What changes how a socket blocks */

MAPPED int
ioctl(int fd, unsigned long op, ...)
{
    va_list args;
    va_start(args, op);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (op == FIONBIO) {
        _PyPth_ForgetEdges(fd);
        _PyPth_ForgetKinds(fd, fd);
    }
    return real(ioctl)(fd, op, arg);
}

static int
map_fcntl(int fd, int op, ...)
{
    va_list args;
    va_start(args, op);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (op == F_SETFL) {
        _PyPth_ForgetEdges(fd);
        _PyPth_ForgetKinds(fd, fd);
    }
    return real(fcntl)(fd, op, arg);
}

MAPPED_NAME(fcntl, map_fcntl)
MAPPED_NAME(fcntl64, map_fcntl)

MAPPED int
setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    if (level == SOL_SOCKET && option != SO_REUSEADDR) {
        lowat_used |= (option == SO_RCVLOWAT);
        _PyPth_ForgetEdges(fd);
    }
    return real(setsockopt)(fd, level, option, value, len);
}
