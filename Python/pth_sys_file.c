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

struct read_args {
    int fd;
    const struct iovec *iov;
    int iovcnt;
    ssize_t result;
    int err;
};

static void
offloaded_readv(void *arg)
{
    struct read_args *a = arg;
    a->result = real(readv)(a->fd, a->iov, a->iovcnt);
    a->err = errno;
}

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
            struct read_args a = {fd, iov, iovcnt, 0, 0};
            if (_PyPth_Offload(offloaded_readv, &a,
                               _PyPth_INTERRUPTIBLE) < 0)
            {
                offloaded_readv(&a);
            }
            return offloaded_result(a.result, a.err);
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


/* From descriptor to descriptor */

DECLARE_REAL(sendfile)
DECLARE_REAL(splice)
DECLARE_REAL(tee)
DECLARE_REAL(vmsplice)

// No flag makes sendfile() return instead of block: the descriptor does.
static ssize_t
sendfile_nonblocking(int out, int in, off_t *offset, size_t count, int flags)
{
    (void)real(fcntl)(out, F_SETFL, flags | O_NONBLOCK);
    ssize_t n = real(sendfile)(out, in, offset, count);
    int err = errno;
    (void)real(fcntl)(out, F_SETFL, flags);
    errno = err;
    return n;
}

static ssize_t
map_sendfile(int out, int in, off_t *offset, size_t count)
{
    int flags;
    if (!can_switch() || look_at(out) == FD_FILE
        || (flags = real(fcntl)(out, F_GETFL)) < 0 || (flags & O_NONBLOCK))
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
                 || _PyPth_WaitFd(out, POLLOUT, _PyPth_FOREVER, 0) < 0)
        {
            return done_or_error(done);
        }
    }
    forget_error();
    return (ssize_t)done;
}

MAPPED_OFF_T(sendfile, map_sendfile)

struct splice_args {
    int in, out;
    off64_t *off_in, *off_out;
    const struct iovec *iov;
    size_t len;
    unsigned int flags;
    ssize_t result;
    int err;
};

static void
offloaded_splice(void *arg)
{
    struct splice_args *a = arg;
    a->result = real(splice)(a->in, a->off_in, a->out, a->off_out, a->len,
                             a->flags);
    a->err = errno;
}

static void
offloaded_tee(void *arg)
{
    struct splice_args *a = arg;
    a->result = real(tee)(a->in, a->out, a->len, a->flags);
    a->err = errno;
}

static void
offloaded_vmsplice(void *arg)
{
    struct splice_args *a = arg;
    a->result = real(vmsplice)(a->out, a->iov, a->len, a->flags);
    a->err = errno;
}

// SPLICE_F_NONBLOCK is for pipes: a socket at the other end still blocks
// (splice(2)).
static ssize_t
splice_like(void (*func)(void *), struct splice_args *a, int pipes_only)
{
    if (pipes_only) {
        unsigned int flags = a->flags;
        a->flags |= SPLICE_F_NONBLOCK;
        func(a);
        a->flags = flags;
        if (a->result >= 0 || a->err != EAGAIN) {
            return offloaded_result(a->result, a->err);
        }
    }
    if (_PyPth_Offload(func, a, _PyPth_INTERRUPTIBLE) < 0) {
        func(a);
    }
    return offloaded_result(a->result, a->err);
}

MAPPED ssize_t
splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t len,
       unsigned int flags)
{
    if ((flags & SPLICE_F_NONBLOCK) || !can_switch()) {
        return real(splice)(in, off_in, out, off_out, len, flags);
    }
    fd_kind kind_in = look_at(in), kind_out = look_at(out);
    struct splice_args a = {.in = in, .off_in = off_in, .out = out,
                            .off_out = off_out, .len = len, .flags = flags};
    return splice_like(offloaded_splice, &a,
                       (kind_in == FD_OTHER || kind_in == FD_FILE)
                       && (kind_out == FD_OTHER || kind_out == FD_FILE));
}

MAPPED ssize_t
tee(int in, int out, size_t len, unsigned int flags)
{
    if ((flags & SPLICE_F_NONBLOCK) || !can_switch()) {
        return real(tee)(in, out, len, flags);
    }
    struct splice_args a = {.in = in, .out = out, .len = len, .flags = flags};
    return splice_like(offloaded_tee, &a, 1);
}

MAPPED ssize_t
vmsplice(int fd, const struct iovec *iov, size_t count, unsigned int flags)
{
    if ((flags & SPLICE_F_NONBLOCK) || !can_switch()) {
        return real(vmsplice)(fd, iov, count, flags);
    }
    struct splice_args a = {.out = fd, .iov = iov, .len = count,
                            .flags = flags};
    return splice_like(offloaded_vmsplice, &a, 1);
}


/* Opening a FIFO waits for its other end. */

DECLARE_REAL(openat)

struct openat_args {
    int dir;
    const char *path;
    int flags;
    mode_t mode;
    int result, err;
};

static void
offloaded_openat(void *arg)
{
    struct openat_args *a = arg;
    a->result = real(openat)(a->dir, a->path, a->flags, a->mode);
    a->err = errno;
}

static int
is_fifo(int dir, const char *path, int flags)
{
    struct stat st;
    int err = errno;
    int at = flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
    int found = fstatat(dir, path, &st, at) == 0 && S_ISFIFO(st.st_mode);
    errno = err;
    return found;
}

static int
open_at(int dir, const char *path, int flags, mode_t mode)
{
    if (!(flags & (O_NONBLOCK | O_DIRECTORY | O_PATH))
        && (flags & O_ACCMODE) != O_RDWR && can_switch()
        && is_fifo(dir, path, flags))
    {
        struct openat_args a = {dir, path, flags, mode, -1, 0};
        if (_PyPth_Offload(offloaded_openat, &a, _PyPth_INTERRUPTIBLE) < 0) {
            offloaded_openat(&a);
        }
        return (int)offloaded_result(a.result, a.err);
    }
    return real(openat)(dir, path, flags, mode);
}

// The mode is there only if the file may have to be made.
#define GET_MODE(mode, flags)                                           \
    mode_t mode = 0;                                                    \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {    \
        va_list args;                                                   \
        va_start(args, flags);                                          \
        mode = va_arg(args, mode_t);                                    \
        va_end(args);                                                   \
    }

static int
map_open(const char *path, int flags, ...)
{
    GET_MODE(mode, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

static int
map_openat(int dir, const char *path, int flags, ...)
{
    GET_MODE(mode, flags)
    return open_at(dir, path, flags, mode);
}

static int
map_creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

// Of a program that is compiled with -D_FORTIFY_SOURCE and gives no mode:
// open(3p) wants one with O_CREAT.
static int
map_open_2(const char *path, int flags)
{
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
        __chk_fail();
    }
    return open_at(AT_FDCWD, path, flags, 0);
}

static int
map_openat_2(int dir, const char *path, int flags)
{
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
        __chk_fail();
    }
    return open_at(dir, path, flags, 0);
}

MAPPED_NAME(open, map_open)
MAPPED_NAME(open64, map_open)
MAPPED_NAME(openat, map_openat)
MAPPED_NAME(openat64, map_openat)
MAPPED_NAME(creat, map_creat)
MAPPED_NAME(creat64, map_creat)
MAPPED_NAME(__open_2, map_open_2)
MAPPED_NAME(__open64_2, map_open_2)
MAPPED_NAME(__openat_2, map_openat_2)
MAPPED_NAME(__openat64_2, map_openat_2)


/* Locks on files belong to the open file or to the process, not to the thread
   that asks for them (flock(2), fcntl_locking(2)). */

DECLARE_REAL(flock)
DECLARE_REAL(lockf)

struct lock_args {
    int fd, op;
    void *lock;                   // of fcntl()
    off_t len;                    // of lockf()
    int result, err;
};

static int
lock_by(void (*func)(void *), struct lock_args *a)
{
    if (_PyPth_Offload(func, a, _PyPth_INTERRUPTIBLE) < 0) {
        func(a);
    }
    return (int)offloaded_result(a->result, a->err);
}

static void
offloaded_flock(void *arg)
{
    struct lock_args *a = arg;
    a->result = real(flock)(a->fd, a->op);
    a->err = errno;
}

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
    struct lock_args a = {.fd = fd, .op = op};
    return lock_by(offloaded_flock, &a);
}

static void
offloaded_lockf(void *arg)
{
    struct lock_args *a = arg;
    a->result = real(lockf)(a->fd, a->op, a->len);
    a->err = errno;
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
    struct lock_args a = {.fd = fd, .op = op, .len = len};
    return lock_by(offloaded_lockf, &a);
}

MAPPED_OFF_T(lockf, map_lockf)

static void
offloaded_fcntl(void *arg)
{
    struct lock_args *a = arg;
    a->result = real(fcntl)(a->fd, a->op, a->lock);
    a->err = errno;
}

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
    struct lock_args a = {.fd = fd, .op = op, .lock = arg};
    return lock_by(offloaded_fcntl, &a);
}

MAPPED_NAME(fcntl, map_fcntl)
MAPPED_NAME(fcntl64, map_fcntl)
