// GNU Pth backend: what the files of the system call mapping share.
// See pth_syscalls.c.

#ifndef Py_PTH_SYSCALLS_H
#define Py_PTH_SYSCALLS_H

#undef _FORTIFY_SOURCE            // the functions defined here are its targets

#include "pth_internal.h"

#include <dlfcn.h>                // dlsym()
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAPPED Py_EXPORTED_SYMBOL

// An exported name of the function `func` of the same file.  For functions
// that have two names, as open() and open64(): which of them a declaration of
// the C library means depends on _FILE_OFFSET_BITS.
#define MAPPED_NAME(name, func)                                 \
    extern __typeof__(func) func ## _is_ ## name __asm__(#name) \
        __attribute__((alias(#func), visibility("default")));

// The functions of <sys/types.h>'s off_t, which a 32-bit program may call with
// off_t of either size: only that of CPython itself is known here.
#if SIZEOF_LONG == 8
#  define MAPPED_OFF_T(name, func)                              \
    MAPPED_NAME(name, func)                                     \
    MAPPED_NAME(name ## 64, func)
#else
#  define MAPPED_OFF_T(name, func)                              \
    MAPPED_NAME(name ## 64, func)
#endif

// real(name) is the C library's own function: the next definition of the name
// behind ours.
#define real(name) next_ ## name()

#define DECLARE_REAL(name)                                      \
    static inline __typeof__(&name)                             \
    next_ ## name(void)                                         \
    {                                                           \
        static __typeof__(&name) func = NULL;                   \
        if (func == NULL) {                                     \
            func = (__typeof__(&name))_PyPth_NextDefinition(#name); \
        }                                                       \
        return func;                                            \
    }

extern void *_PyPth_NextDefinition(const char *name);

// What a program calls that is compiled with -D_FORTIFY_SOURCE.
extern void __chk_fail(void) __attribute__((noreturn));

// A thread that sleeps while it holds the GIL lets those run that need none.
static inline int
can_switch_with_gil(void)
{
    return _PyPth_nthreads > 1
           && _PyPth_map_syscalls
           && _PyPth_InProgram()
           && !_PyPth_self->alone
           && (_PyPth_self->entry_errno = errno, 1);
}

// May the calling thread let others run?  Not if it is the only one, nor if it
// holds the GIL, nor inside Pth, nor in a signal handler, which may have come
// in the middle of anything, nor in the child of a vfork(), nor if it is not a
// Python thread at all.
static inline int
can_switch(void)
{
    return _Py_tss_tstate == NULL && can_switch_with_gil();
}

// The plain call that follows is likely to block: let others have the carrier.
static inline void
make_room(void)
{
    _PyPth_BeforeLongCall();
    errno = _PyPth_self->entry_errno;
}

// A call that succeeds leaves errno alone.  This is called when a mapped call
// goes on after its first try has failed: back to what errno was when
// can_switch() was true.
static inline void
forget_error(void)
{
    errno = _PyPth_self->entry_errno;
}

// What a call returns that has failed after it has dealt with `done` bytes or
// messages.
static inline ssize_t
done_or_error(size_t done)
{
    if (done == 0) {
        return -1;
    }
    forget_error();
    return (ssize_t)done;
}

// Did a wait end for another reason than what it was for, or its deadline?
// Then errno is set.
static inline int
wait_failed(_PyPth_result result)
{
    if (result == _PyPth_INTR) {
        errno = EINTR;
        return 1;
    }
    return result == _PyPth_ERROR;
}

static inline int
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static inline PyTime_t
from_timespec(const struct timespec *ts)
{
    PyTime_t t;
    if (_PyTime_FromTimespec(&t, (struct timespec *)ts) < 0) {
        t = PyTime_MAX;
    }
    return t;
}

static inline int
valid_timespec(const struct timespec *ts)
{
    return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000;
}

static inline PyTime_t
time_left(PyTime_t deadline)
{
    PyTime_t now;
    (void)PyTime_MonotonicRaw(&now);
    return deadline > now ? deadline - now : 0;
}

/* pth_syscalls.c */

// True if a call on `fd` fails rather than blocks.
extern int _PyPth_IsNonblocking(int fd);
// Wait until `fd` is ready for `events`.  `flags`: 0 or _PyPth_EDGES.
// Return what poll() says of it, or -1 and errno: EINTR, EBADF when another
// thread has closed it, EAGAIN when the deadline has passed.
extern int _PyPth_WaitFd(int fd, short events, PyTime_t deadline, int flags);
// The same for a call that cannot be told not to block: return 0 also if the
// call would fail at once, as it does for a non-blocking descriptor.
extern int _PyPth_WaitBefore(int fd, short events, PyTime_t deadline);
// Sleep until `deadline`.  Return 0, or EINTR and the time that is left
// (`left` may be NULL).
extern int _PyPth_SleepUntil(PyTime_t deadline, struct timespec *left);

/* pth_sys_socket.c: read() and write() of sockets */

// The deadline that SO_RCVTIMEO or SO_SNDTIMEO sets for a call that starts
// now.
extern PyTime_t _PyPth_SocketDeadline(int fd, int option);

/* pth_sys_file.c */

extern ssize_t _PyPth_Read(int fd, void *buf, size_t len);

/* pth_sys_poll.c */

extern int _PyPth_Select(int nfds, fd_set *r, fd_set *w, fd_set *e,
                         struct timeval *timeout);

#endif  // !Py_PTH_SYSCALLS_H
