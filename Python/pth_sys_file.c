// GNU Pth backend, system call mapping: read() and write().
//
// Reading from sockets, pipes, eventfds and their like waits for somebody.  Files
// on a disk are always ready, as far as the kernel tells, and terminals and other
// devices have ways of their own: they get the plain call.

#include "pth_syscalls.h"

#include <limits.h>               // PIPE_BUF
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>        // major()
#include <sys/uio.h>              // writev()

DECLARE_REAL(read)
DECLARE_REAL(write)

typedef enum {
    FD_UNKNOWN,
    FD_FILE,                      // never waits for anybody
    FD_SOCKET,
    FD_PIPE,                      // pipe, eventfd, timerfd, ...
    FD_OLD_PIPE,                  // the same, and RWF_NOWAIT is not known of it
    FD_DEVICE,                    // terminal, ...
} fd_kind;

/* What descriptors are, for a while.  Asking costs as much as the call itself.
   A number may become another file's when it is closed, which is mapped, and
   in ways that nobody here sees, such as a system call that is not made by way
   of the C library: so this is forgotten in every tick of the monitor.  Being
   wrong is only being slower. */

static unsigned char kinds[1024]; // an fd_kind for each descriptor below
static char nonblocking[sizeof(kinds)];   // it was so

static inline int
has_kind(int fd)
{
    return fd >= 0 && (size_t)fd < sizeof(kinds);
}

void
_PyPth_ForgetKinds(unsigned int first, unsigned int last)
{
    if (first < sizeof(kinds)) {
        size_t end = Py_MIN((size_t)last + 1, sizeof(kinds));
        size_t n = end > first ? end - first : 0;
        memset(&kinds[first], FD_UNKNOWN, n);
        memset(&nonblocking[first], 0, n);
    }
}

int
_PyPth_IsNonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int yes = flags < 0 || (flags & O_NONBLOCK);
    if (yes && flags >= 0 && has_kind(fd)) {
        nonblocking[fd] = 1;
    }
    return yes;
}

int
_PyPth_WasNonblocking(int fd)
{
    return has_kind(fd) && nonblocking[fd];
}

static fd_kind
look_at(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        // The call itself will say so.
        forget_error();
        return FD_FILE;
    }
    fd_kind kind = FD_DEVICE;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
    case S_IFDIR:
        kind = FD_FILE;
        break;
    case S_IFCHR:
        // Memory: /dev/null, /dev/zero, ... (admin-guide/devices.txt)
        kind = major(st.st_rdev) == 1 ? FD_FILE : FD_DEVICE;
        break;
    case S_IFSOCK:
        kind = FD_SOCKET;
        break;
    case S_IFIFO:
    case 0:                       // without a name (anon_inode)
        kind = FD_PIPE;
        break;
    }
    if (has_kind(fd)) {
        kinds[fd] = (unsigned char)kind;
    }
    return kind;
}

// The same from memory, for the commonest calls.
static inline fd_kind
kind_of(int fd)
{
    fd_kind kind = FD_UNKNOWN;
    if (has_kind(fd)) {
        kind = (fd_kind)kinds[fd];
    }
    return kind != FD_UNKNOWN ? kind : look_at(fd);
}

static int
pipe_blocks(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && !(flags & O_NONBLOCK)
           && (flags & O_ACCMODE) != O_WRONLY;
}

// Read what is there: EAGAIN if that is nothing.  EOPNOTSUPP: the kernel cannot do
// that with a pipe (Linux before 6.4), or with what else this is.
static ssize_t
read_now(int fd, void *buf, size_t len)
{
    struct iovec iov = {buf, len};
    // -1: as read() does, no offset.
    return _PyPth_Sys(SYS_preadv2, fd, &iov, 1, -1L, -1L, RWF_NOWAIT);
}

static ssize_t
read_pipe(int fd, void *buf, size_t len, fd_kind kind)
{
    int wait = kind == FD_OLD_PIPE ? CANNOT_WAIT : 0;
    while (wait == 0) {
        ssize_t n = read_now(fd, buf, len);
        if (n >= 0) {
            return n;
        }
        if (!would_block()) {
            // The plain call tells why.
            if (errno == EOPNOTSUPP && has_kind(fd)) {
                kinds[fd] = FD_OLD_PIPE;
            }
            wait = CANNOT_WAIT;
        }
        else if (_PyPth_IsNonblocking(fd)) {
            errno = EAGAIN;
            return -1;
        }
        else {
            wait = _PyPth_WaitFd(fd, POLLIN, 0, NULL);
        }
    }
    if (wait < 0) {
        return -1;
    }
    forget_error();
    // If somebody else takes what is in the pipe before the plain call does, that
    // blocks, and the thread is left behind.
    return _PyPth_WaitInput(fd, pipe_blocks) < 0 ? -1 : real(read)(fd, buf, len);
}

ssize_t
_PyPth_Read(int fd, void *buf, size_t len)
{
    fd_kind kind = _PyPth_HasEdges(fd) ? FD_SOCKET : kind_of(fd);
    if (kind == FD_SOCKET && !_PyPth_SocketCallsInterposed()) {
        ssize_t n = _PyPth_Recv(fd, buf, len, 0, NULL, NULL);
        if (n >= 0 || errno != ENOTSOCK) {
            return n;
        }
        forget_error();
        kind = look_at(fd);
    }
    if ((kind == FD_PIPE || kind == FD_OLD_PIPE) && !_PyPth_WasNonblocking(fd)) {
        mapped_call();
        return read_pipe(fd, buf, len, kind);
    }
    return real(read)(fd, buf, len);
}

MAPPED ssize_t
__read_chk(int fd, void *buf, size_t len, size_t size)
{
    if (len > size) {
        __chk_fail();
    }
    return read(fd, buf, len);
}


/* Writing.  What a pipe or a terminal does not take at once, the plain call waits
   for. */

// May it be written in part, if a signal comes?  What fits into a pipe is not
// (pipe(7)).
static int
may_be_cut(int fd, fd_kind kind, size_t len)
{
    struct pollfd p = {fd, POLLOUT, 0};
    return (kind == FD_DEVICE || len > PIPE_BUF || _PyPth_PollNow(&p, 1) == 0)
           && !_PyPth_IsNonblocking(fd);
}

MAPPED ssize_t
write(int fd, const void *buf, size_t len)
{
    if (len > 0 && can_map(write)) {
        fd_kind kind = kind_of(fd);
        if (kind == FD_SOCKET && !_PyPth_SocketCallsInterposed()) {
            ssize_t n = _PyPth_Send(fd, buf, len, 0);
            if (n >= 0 || errno != ENOTSOCK) {
                return n;
            }
            forget_error();
            kind = look_at(fd);
        }
        if (kind != FD_FILE && on_first() && may_be_cut(fd, kind, len)) {
            _PyPth_LeaveFirst();
        }
        forget_error();
    }
    return real(write)(fd, buf, len);
}


/* Calls that end half done if a signal interrupts them, and that are not mapped
   otherwise. */

static void
before_cut(int fd)
{
    if (can_switch() && on_first()) {
        if (kind_of(fd) != FD_FILE && !_PyPth_IsNonblocking(fd)) {
            _PyPth_LeaveFirst();
        }
        forget_error();
    }
}

#define MAY_BE_CUT(condition, fd, type, name, params, args)     \
    DECLARE_REAL(name)                                          \
    MAPPED type                                                 \
    name params                                                 \
    {                                                           \
        if (condition) {                                        \
            before_cut(fd);                                     \
        }                                                       \
        return real(name) args;                                 \
    }

MAY_BE_CUT(1, fd, ssize_t, writev,
           (int fd, const struct iovec *iov, int iovcnt), (fd, iov, iovcnt))
MAY_BE_CUT(!(flags & MSG_DONTWAIT), fd, ssize_t, sendto,
           (int fd, const void *buf, size_t len, int flags,
            const struct sockaddr *addr, socklen_t addrlen),
           (fd, buf, len, flags, addr, addrlen))
MAY_BE_CUT(!(flags & MSG_DONTWAIT), fd, ssize_t, sendmsg,
           (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
MAY_BE_CUT(!(flags & MSG_DONTWAIT), fd, int, sendmmsg,
           (int fd, struct mmsghdr *vec, unsigned int vlen, int flags),
           (fd, vec, vlen, flags))
MAY_BE_CUT(flags & MSG_WAITALL, fd, ssize_t, recvmsg,
           (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
MAY_BE_CUT(!(flags & MSG_DONTWAIT), fd, int, recvmmsg,
           (int fd, struct mmsghdr *vec, unsigned int vlen, int flags,
            struct timespec *timeout), (fd, vec, vlen, flags, timeout))

DECLARE_REAL(sendfile)

static ssize_t
map_sendfile(int out, int in, off_t *offset, size_t count)
{
    before_cut(out);
    return real(sendfile)(out, in, offset, count);
}

MAPPED_NAME(sendfile, map_sendfile)
MAPPED_NAME(sendfile64, map_sendfile)
