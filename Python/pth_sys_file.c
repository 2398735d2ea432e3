// GNU Pth backend, system call mapping: files, pipes, terminals, and locks on
// files.
//
// Files on a disk are always ready, as far as the kernel tells: they get the
// plain call.

#include "pth_syscalls.h"

#include <limits.h>               // PIPE_BUF
#include <stdarg.h>
#include <sys/file.h>             // flock()
#include <sys/ioctl.h>            // TIOCGPTN
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>        // major()
#include <sys/uio.h>
#include <termios.h>

DECLARE_REAL(read)
DECLARE_REAL(readv)
DECLARE_REAL(write)
DECLARE_REAL(writev)
DECLARE_REAL(fcntl)

typedef enum {
    FD_UNKNOWN,
    FD_FILE,                      // never waits for anybody
    FD_SOCKET,
    FD_DEVICE,                    // terminal, ...
    FD_OTHER,                     // pipe, eventfd, ...
} fd_kind;

/* What descriptors are, for a while.  Asking costs as much as the call itself.
   A number may become another file's when it is closed, which is mapped, and
   in ways that nobody here sees, such as a system call that is not made by way
   of the C library: so this is forgotten in every time slice. */

static unsigned char kinds[1024]; // an fd_kind for each descriptor below

void
_PyPth_ForgetKinds(unsigned int first, unsigned int last)
{
    if (first < sizeof(kinds)) {
        size_t end = Py_MIN((size_t)last + 1, sizeof(kinds));
        memset(&kinds[first], FD_UNKNOWN, end > first ? end - first : 0);
    }
}

// Devices of memory (Linux, drivers/char/mem.c; admin-guide/devices.txt).
static int
is_memory(dev_t device)
{
    switch (minor(device)) {
    case 3:                       // null
    case 5:                       // zero
    case 7:                       // full
    case 9:                       // urandom
        return major(device) == 1;
    default:
        return 0;
    }
}

static fd_kind
look_at(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        // The call itself will say so.
        return FD_FILE;
    }
    fd_kind kind = FD_OTHER;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
    case S_IFBLK:
    case S_IFDIR:
        kind = FD_FILE;
        break;
    case S_IFSOCK:
        kind = FD_SOCKET;
        break;
    case S_IFCHR:
        kind = is_memory(st.st_rdev) ? FD_FILE : FD_DEVICE;
        break;
    }
    if ((size_t)fd < sizeof(kinds)) {
        kinds[fd] = (unsigned char)kind;
    }
    return kind;
}

// The same from memory, for the commonest calls.
static inline fd_kind
kind_of(int fd)
{
    fd_kind kind = FD_UNKNOWN;
    if (fd >= 0 && (size_t)fd < sizeof(kinds)) {
        kind = (fd_kind)kinds[fd];
    }
    return kind != FD_UNKNOWN ? kind : look_at(fd);
}


/* Reading */

// A terminal may end a read() after a time that has to do with characters, not
// with our clock (termios(3), VTIME).
static int
has_read_timer(int fd)
{
    struct termios t;
    return tcgetattr(fd, &t) == 0 && !(t.c_lflag & ICANON)
           && t.c_cc[VTIME] > 0;
}

// The terminal stops a process in the background that reads from it.  Not the
// master of a pseudo-terminal: that tells of the other end's (tty_ioctl(2)).
static int
in_background(int fd)
{
    unsigned int number;
    if (ioctl(fd, TIOCGPTN, &number) == 0) {
        return 0;
    }
    pid_t foreground = tcgetpgrp(fd);
    return foreground >= 0 && foreground != getpgrp();
}

static ssize_t
read_device(int fd, const struct iovec *iov, int iovcnt)
{
    struct pollfd p = {fd, POLLIN, 0};
    if (_PyPth_PollNow(&p, 1) == 0
        && !_PyPth_IsNonblocking(fd) && !in_background(fd))
    {
        if (has_read_timer(fd)) {
            make_room();
            return real(readv)(fd, iov, iovcnt);
        }
        if (_PyPth_WaitBefore(fd, POLLIN, _PyPth_FOREVER) < 0) {
            return -1;
        }
    }
    return real(readv)(fd, iov, iovcnt);
}

// read() from what is neither a file nor a socket nor a device.
static ssize_t
read_other(int fd, const struct iovec *iov, int iovcnt)
{
#ifdef RWF_NOWAIT
    // Between poll() and read() another process might empty the pipe: this
    // never blocks.  For pipes since Linux 6.5.
    for (;;) {
        ssize_t n = preadv2(fd, iov, iovcnt, -1, RWF_NOWAIT);
        if (n >= 0) {
            return n;
        }
        if (!would_block()) {
            break;
        }
        if (look_at(fd) == FD_FILE) {
            // It has become one, and poll() calls that ready.
            errno = EOPNOTSUPP;
            break;
        }
        if (_PyPth_IsNonblocking(fd)) {
            errno = EAGAIN;
            return -1;
        }
        if (_PyPth_WaitFd(fd, POLLIN, _PyPth_FOREVER, 0) < 0) {
            return -1;
        }
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS) {
        return -1;
    }
    forget_error();
#endif
    if (_PyPth_WaitBefore(fd, POLLIN, _PyPth_FOREVER) < 0) {
        return -1;
    }
    return real(readv)(fd, iov, iovcnt);
}

ssize_t
_PyPth_Read(int fd, void *buf, size_t len)
{
    fd_kind kind = _PyPth_HasEdges(fd) ? FD_SOCKET : kind_of(fd);
    if (kind == FD_SOCKET) {
        ssize_t n = recvfrom(fd, buf, len, 0, NULL, NULL);
        if (n >= 0 || errno != ENOTSOCK) {
            return n;
        }
        forget_error();
        kind = look_at(fd);
    }
    if (kind == FD_FILE) {
        return real(read)(fd, buf, len);
    }
    struct iovec iov = {buf, len};
    return kind == FD_DEVICE ? read_device(fd, &iov, 1)
                             : read_other(fd, &iov, 1);
}

MAPPED ssize_t
__read_chk(int fd, void *buf, size_t len, size_t size)
{
    if (len > size) {
        __chk_fail();
    }
    return read(fd, buf, len);
}

MAPPED ssize_t
readv(int fd, const struct iovec *iov, int iovcnt)
{
    if (iovcnt > 0 && can_switch()) {
        switch (look_at(fd)) {
        case FD_SOCKET: {
            struct msghdr msg = {.msg_iov = (struct iovec *)iov,
                                 .msg_iovlen = (size_t)iovcnt};
            return recvmsg(fd, &msg, 0);
        }
        case FD_DEVICE:
            return read_device(fd, iov, iovcnt);
        case FD_OTHER:
            return read_other(fd, iov, iovcnt);
        default:
            break;
        }
    }
    return real(readv)(fd, iov, iovcnt);
}


/* Writing */

#ifdef RWF_NOWAIT
// Write until all is written.  Return -1 and EOPNOTSUPP if the kernel has no
// way to write without blocking.
static ssize_t
write_nowait(int fd, const void *buf, size_t len)
{
    size_t done = 0;
    for (;;) {
        struct iovec iov = {(char *)buf + done, len - done};
        ssize_t n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);
        if (n >= 0) {
            done += (size_t)n;
            if (done >= len) {
                return (ssize_t)done;
            }
        }
        else if (!would_block()) {
            return done_or_error(done);
        }
        if (look_at(fd) == FD_FILE) {
            // It has become one, and poll() calls that ready.
            errno = EOPNOTSUPP;
            return done_or_error(done);
        }
        if (_PyPth_IsNonblocking(fd)) {
            errno = EAGAIN;
            return done_or_error(done);
        }
        if (_PyPth_WaitFd(fd, POLLOUT, _PyPth_FOREVER, 0) < 0) {
            return done_or_error(done);
        }
    }
}
#endif

// A pipe or terminal that poll() calls writable takes PIPE_BUF bytes without
// blocking (pipe(7)); a longer write goes in pieces of that size.
static ssize_t
write_pieces(int fd, const void *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (_PyPth_WaitBefore(fd, POLLOUT, _PyPth_FOREVER) < 0) {
            return done_or_error(done);
        }
        ssize_t n = real(write)(fd, (const char *)buf + done,
                                Py_MIN(len - done, (size_t)PIPE_BUF));
        if (n < 0) {
            return done_or_error(done);
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

// write() to what is neither a file nor a socket.
static ssize_t
write_other(int fd, const void *buf, size_t len)
{
#ifdef RWF_NOWAIT
    ssize_t n = write_nowait(fd, buf, len);
    if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) {
        return n;
    }
    forget_error();
#endif
    if (_PyPth_IsNonblocking(fd)) {
        return real(write)(fd, buf, len);
    }
    return write_pieces(fd, buf, len);
}

MAPPED ssize_t
write(int fd, const void *buf, size_t len)
{
    if (len > 0 && can_switch()) {
        fd_kind kind = kind_of(fd);
        if (kind == FD_SOCKET) {
            ssize_t n = sendto(fd, buf, len, 0, NULL, 0);
            if (n >= 0 || errno != ENOTSOCK) {
                return n;
            }
            forget_error();
            kind = look_at(fd);
        }
        if (kind != FD_FILE) {
            return write_other(fd, buf, len);
        }
    }
    return real(write)(fd, buf, len);
}

// writev() to what is neither a file nor a socket.  Up to PIPE_BUF bytes go in
// one piece (pipe(7)).
static ssize_t
writev_other(int fd, const struct iovec *iov, int iovcnt)
{
    size_t len = 0;
    for (int i = 0; i < iovcnt; i++) {
        len += iov[i].iov_len;
    }
    if (len <= PIPE_BUF || _PyPth_IsNonblocking(fd)) {
        if (_PyPth_WaitBefore(fd, POLLOUT, _PyPth_FOREVER) < 0) {
            return -1;
        }
        return real(writev)(fd, iov, iovcnt);
    }
    ssize_t done = 0;
    for (int i = 0; i < iovcnt; i++) {
        if (iov[i].iov_len == 0) {
            continue;
        }
        ssize_t n = write_other(fd, iov[i].iov_base, iov[i].iov_len);
        if (n < 0) {
            return done_or_error((size_t)done);
        }
        done += n;
        if ((size_t)n < iov[i].iov_len) {
            break;
        }
    }
    return done;
}

MAPPED ssize_t
writev(int fd, const struct iovec *iov, int iovcnt)
{
    if (iovcnt > 0 && iovcnt <= IOV_MAX && can_switch()) {
        switch (look_at(fd)) {
        case FD_SOCKET: {
            struct msghdr msg = {.msg_iov = (struct iovec *)iov,
                                 .msg_iovlen = (size_t)iovcnt};
            return sendmsg(fd, &msg, 0);
        }
        case FD_DEVICE:
        case FD_OTHER:
            return writev_other(fd, iov, iovcnt);
        default:
            break;
        }
    }
    return real(writev)(fd, iov, iovcnt);
}


/* No flag makes sendfile() return instead of block. */

DECLARE_REAL(sendfile)

static ssize_t
map_sendfile(int out, int in, off_t *offset, size_t count)
{
    if (can_switch() && look_at(out) != FD_FILE
        && !_PyPth_IsNonblocking(out))
    {
        make_room();
    }
    return real(sendfile)(out, in, offset, count);
}

MAPPED_OFF_T(sendfile, map_sendfile)


/* Locks on files belong to the open file or to the process, not to the thread
   that asks for them (flock(2), fcntl_locking(2)). */

DECLARE_REAL(flock)
DECLARE_REAL(lockf)

MAPPED int
flock(int fd, int op)
{
    if ((op & (LOCK_NB | LOCK_UN)) || !can_switch()) {
        return real(flock)(fd, op);
    }
    int result = real(flock)(fd, op | LOCK_NB);
    if (result == 0 || !would_block()) {
        return result;
    }
    make_room();
    return real(flock)(fd, op);
}

static int
map_lockf(int fd, int op, off_t len)
{
    if (op != F_LOCK || !can_switch()) {
        return real(lockf)(fd, op, len);
    }
    int result = real(lockf)(fd, F_TLOCK, len);
    if (result == 0 || (errno != EAGAIN && errno != EACCES)) {
        return result;
    }
    make_room();
    return real(lockf)(fd, op, len);
}

MAPPED_OFF_T(lockf, map_lockf)

static int
map_fcntl(int fd, int op, ...)
{
    va_list args;
    va_start(args, op);
    void *arg = va_arg(args, void *);
    va_end(args);
    int try_op = op == F_SETLKW ? F_SETLK
                 : op == F_OFD_SETLKW ? F_OFD_SETLK : -1;
    if (try_op < 0 || !can_switch()) {
        return real(fcntl)(fd, op, arg);
    }
    int result = real(fcntl)(fd, try_op, arg);
    if (result == 0 || (errno != EAGAIN && errno != EACCES)) {
        return result;
    }
    make_room();
    return real(fcntl)(fd, op, arg);
}

MAPPED_NAME(fcntl, map_fcntl)
MAPPED_NAME(fcntl64, map_fcntl)
