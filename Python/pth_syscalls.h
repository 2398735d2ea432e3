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
// that have two names, as fcntl() and fcntl64(): which of them a declaration of
// the C library means depends on _FILE_OFFSET_BITS.
#define MAPPED_NAME(name, func)                                 \
    extern __typeof__(func) func ## _is_ ## name __asm__(#name) \
        __attribute__((alias(#func), visibility("default")));

// The next definition of a name behind ours, mostly the C library's.
typedef struct {
    const char *name;
    void *func;
    char interposed;              // it is that of another library, which was
                                  // preloaded to see the calls of the program
} next_definition;

// Each is found before main(): dlsym() waits while another thread loads a library,
// and forever in the child of a fork that the dynamic linker is not told of, as that
// of syscall(SYS_clone).
#define DECLARE_REAL(name)                                      \
    static next_definition next_ ## name = {#name, NULL, 0};    \
    static void __attribute__((constructor))                    \
    find_ ## name(void)                                         \
    {                                                           \
        _PyPth_FindNext(&next_ ## name);                        \
    }

extern void _PyPth_FindNext(next_definition *next);
// It is needed already, by the constructor of a library.
extern void _PyPth_FindNextEarly(next_definition *next);

static inline next_definition *
with_func(next_definition *next)
{
    if (next->func == NULL) {
        _PyPth_FindNextEarly(next);
    }
    return next;
}

// The function that the program would call without us.
#define real(name) ((__typeof__(&name))with_func(&next_ ## name)->func)

#define is_interposed(name) (with_func(&next_ ## name)->interposed)

// A call for which something has to be done first.
#define ON_OWN(prepare, type, name, params, args)               \
    DECLARE_REAL(name)                                          \
    MAPPED type                                                 \
    name params                                                 \
    {                                                           \
        prepare;                                                \
        return real(name) args;                                 \
    }

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

// The same for a call of `name`: who interposes gets the call as it is.
#define can_map(name) (can_switch() && !is_interposed(name))

// Is the calling thread on the first kernel thread, which is another's?  Then a
// signal may come when that one wants it back.
static inline int
on_first(void)
{
    return _PyPth_self != _PyPth_first
           && _PyPth_KernelOf(_PyPth_self) == _PyPth_first;
}

// A call that succeeds leaves errno alone.  This is called when a mapped call
// goes on after its first try has failed: back to what errno was when
// can_switch() was true.
static inline void
forget_error(void)
{
    errno = _PyPth_self->entry_errno;
}

// The mapped call does not block in the kernel, however long it takes: it is
// no reason to make room for others before the next one.
static inline void
mapped_call(void)
{
    _PyPth_SetCall(PTH_WAITED);
}

// It is made plainly after all.
static inline void
plain_call(void)
{
    _PyPth_SetCall(PTH_CALLS);
    forget_error();
}

// The call ends half done, or with EINTR that the kernel does not hide, if its
// thread is sent away from the first kernel thread.
static inline void
leave_first(void)
{
    if (on_first()) {
        _PyPth_LeaveFirst();
        forget_error();
    }
}

static inline int
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static inline PyTime_t
time_left(PyTime_t deadline)
{
    PyTime_t now;
    (void)PyTime_MonotonicRaw(&now);
    return deadline > now ? deadline - now : 0;
}

static inline int
valid_timespec(const struct timespec *ts)
{
    return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000;
}

/* pth_syscalls.c */

// Wait until `fd` is ready for `events`.  `flags`: 0 or _PyPth_EDGES.  Return
// 0, with what poll() says of it in `*revents`, or with 0 there if the caller
// has to see for itself; or -1 and errno: EINTR, EBADF when another thread has
// closed it; or CANNOT_WAIT: the plain call has to be made.  `revents`: or NULL.
#define CANNOT_WAIT 1
extern int _PyPth_WaitFd(int fd, short events, int flags, short *revents);
// Wait until there is something to be read, for a call that cannot be told not to
// block.  If there is nothing, blocks(fd) tells whether it would wait for that.
// The same.
extern int _PyPth_WaitInput(int fd, int (*blocks)(int fd));

/* pth_sys_socket.c: read() and write() of sockets */

extern ssize_t _PyPth_Recv(int fd, void *buf, size_t len, int flags,
                           struct sockaddr *addr, socklen_t *addrlen);
extern ssize_t _PyPth_Send(int fd, const void *buf, size_t len, int flags);
// Are there preloaded libraries that would see these instead?
extern int _PyPth_SocketCallsInterposed(void);

/* pth_sys_file.c */

// True if a call on `fd` fails rather than blocks.
extern int _PyPth_IsNonblocking(int fd);
// True if that was so a moment ago: the plain call may be made, which needs no
// second one to know why it has failed.  If it blocks after all, its thread is left
// behind.
extern int _PyPth_WasNonblocking(int fd);
extern ssize_t _PyPth_Read(int fd, void *buf, size_t len);

/* pth_sys_poll.c */

extern int _PyPth_Select(int nfds, fd_set *r, fd_set *w, fd_set *e,
                         struct timeval *timeout);
extern int _PyPth_Ppoll(struct pollfd *fds, nfds_t nfds,
                        const struct timespec *timeout);

#endif  // !Py_PTH_SYSCALLS_H
