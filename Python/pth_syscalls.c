// GNU Pth backend: the system call mapping.
//
// A thread that blocks in the kernel takes the carrier with it, until another
// kernel thread takes over.  For frequent calls that is dear.  So the
// executable (or libpython) defines the C library's entry points of those, as
// GNU Pth's "hard" mapping does (pth_syscall.c); the dynamic linker then gives
// ours to everybody: CPython's modules, OpenSSL, any C extension.  Each tries
// the call without blocking, waits in _PyPth_WaitFds() or _PyPth_Wait() while
// others run, and tries again.
//
// Who must not switch gets the plain call, see can_switch().
//
//   Python/pth_syscalls.c    what all of them need, Pth's own calls, and those
//                            about signals
//   Python/pth_sys_poll.c    poll(), select(), epoll_wait()
//   Python/pth_sys_socket.c  sockets
//   Python/pth_sys_file.c    read() and write()
//   Python/pth_sys_process.c child processes
//   Python/pth_sys_time.c    sleeping
//
// docs/syscalls.md has the table.

#include "pth_syscalls.h"

#include <gnu/lib-names.h>        // LIBC_SO
#include <link.h>                 // dl_iterate_phdr()
#include <signal.h>
#include <sys/epoll.h>            // epoll_pwait()
#include <sys/resource.h>         // getrlimit()
#include <sys/select.h>

_Py_thread_local char *_PyPth_handler;

int _PyPth_pipe_for_init[2] = {-1, -1};
static int pth_pipe = -1;         // the reading end of Pth's own pipe

#ifdef HAVE_PTH_SYSCALLS
int _PyPth_map_syscalls = 1;
#else
int _PyPth_map_syscalls = 0;
#endif

void
_PyPth_MapSyscalls(int on)
{
#ifdef HAVE_PTH_SYSCALLS
    _PyPth_map_syscalls = on;
#endif
}

// Where the C library is mapped.
static uintptr_t libc_start, libc_end;

static int
find_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *base = strrchr(info->dlpi_name, '/');
    if (strcmp(base != NULL ? base + 1 : info->dlpi_name, LIBC_SO) != 0) {
        return 0;
    }
    libc_start = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD) {
            uintptr_t start = info->dlpi_addr + segment->p_vaddr;
            libc_start = Py_MIN(libc_start, start);
            libc_end = Py_MAX(libc_end, start + segment->p_memsz);
        }
    }
    return 1;
}

// Takes no memory: whoever needs a function early may be malloc() itself, which makes
// system calls when it begins.  dlsym() takes none for what it finds, dlopen() does.
void
_PyPth_FindNext(next_definition *next)
{
    if (libc_end == 0) {
        dl_iterate_phdr(find_libc, NULL);
    }
    void *func = dlsym(RTLD_NEXT, next->name);
    next->interposed = ((uintptr_t)func < libc_start || (uintptr_t)func >= libc_end);
    next->func = func;
}

void
_PyPth_FindNextEarly(next_definition *next)
{
    _PyPth_FindNext(next);
    if (next->func == NULL) {
        _Py_FatalErrorFormat(__func__, "the C library has no %s()", next->name);
    }
}

// A call that Pth itself makes.
static inline int
in_pth(void)
{
    return _PyPth_inside && !_PyPth_InHandler();
}


/* The C library's own functions, for the other files of the backend */

DECLARE_REAL(poll)
DECLARE_REAL(pthread_sigmask)

int
_PyPth_PollNow(struct pollfd *fds, nfds_t nfds)
{
    return real(poll)(fds, nfds, 0);
}

int
_PyPth_sys_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return real(pthread_sigmask)(how, set, old);
}


/* What Pth's scheduler calls in every pass, to no purpose: no Python thread
   waits for a signal, a descriptor or a time in Pth, so nothing comes out of
   its pipe.  The scheduler's own context has all signals blocked (pth_sched.c,
   pth_scheduler()), and the switch to a thread brings the thread's mask. */

DECLARE_REAL(read)
DECLARE_REAL(select)
DECLARE_REAL(sigaction)
DECLARE_REAL(sigpending)
DECLARE_REAL(pipe)

MAPPED ssize_t
read(int fd, void *buf, size_t len)
{
    if (fd == pth_pipe && in_pth()) {
        errno = EAGAIN;
        return -1;
    }
#ifdef HAVE_PTH_SYSCALLS
    if (len > 0 && can_map(read)) {
        return _PyPth_Read(fd, buf, len);
    }
#endif
    return real(read)(fd, buf, len);
}

MAPPED int
select(int nfds, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
    int at_once = (timeout != NULL && timeout->tv_sec == 0
                   && timeout->tv_usec == 0);
    if (at_once && nfds == pth_pipe + 1 && in_pth()) {
        return 0;
    }
#ifdef HAVE_PTH_SYSCALLS
    if (can_map(select)) {
        if (!at_once) {
            return _PyPth_Select(nfds, r, w, e, timeout);
        }
        _PyPth_YieldToWaiting();
    }
#endif
    return real(select)(nfds, r, w, e, timeout);
}

MAPPED int
sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    int err;
    if (in_pth() && _PyPth_LibraryPatches() == NULL) {
        if (old != NULL) {
            sigfillset(old);
        }
        return 0;
    }
    if (in_pth()) {
        // It asks only when a mask changes.
        err = _PyPth_sys_sigmask(how, set, old);
    }
    else {
        err = pthread_sigmask(how, set, old);
    }
    if (err != 0) {
        errno = err;
        return -1;
    }
    return 0;
}

MAPPED int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    if (_PyPth_self == NULL) {
        _PyPth_LookForGo();
    }
    if (set == NULL || _PyPth_self == NULL || _PyPth_vforked) {
        return real(pthread_sigmask)(how, set, old);
    }
    sigset_t allowed = *set;
    if (how != SIG_UNBLOCK) {
        _PyPth_UnblockSignal(&allowed);
    }
    sigset_t before;
    int err = real(pthread_sigmask)(how, &allowed, &before);
    if (err == 0 && !_PyPth_inside && !_PyPth_InHandler()) {
        _PyPth_MaskChanged(how, &allowed, &before);
    }
    if (err == 0 && old != NULL) {
        *old = before;
    }
    return err;
}

int
_PyPth_sys_sigaction(int signum, const struct sigaction *action,
                     struct sigaction *old)
{
    return real(sigaction)(signum, action, old);
}

// The handlers that the program has set.
static struct sigaction handlers[_NSIG];

// That of signalmodule.c, which does not block: it need not be put off.
static void (*python_handler)(int);

void
_PyPth_SetSignalHandler(void (*handler)(int))
{
    python_handler = handler;
}

// Faults of the thread itself, and abort(), have to be handled at once.
static inline int
is_fault(int signum, const siginfo_t *info)
{
    return signum == SIGABRT
           || (info->si_code > 0
               && (signum == SIGSEGV || signum == SIGBUS || signum == SIGFPE
                   || signum == SIGILL || signum == SIGTRAP
                   || signum == SIGSYS));
}

// A handler may have come in the middle of anything, for example malloc(), so
// another thread must not run before it returns: its blocking calls are plain
// ones.
static void
run_handler(int signum, siginfo_t *info, void *context)
{
    int parked = 0;
    _PyPth_thread *target = _PyPth_GetOriginalInfo(signum, info);
    if (!_PyPth_InHandler() && !_PyPth_vforked && _PyPth_CanLend()
        && !is_fault(signum, info))
    {
        int defer;
        if (_PyPth_inside && handlers[signum].sa_handler == python_handler) {
            // If the first thread is in a call out of Pth, that has to end.
            defer = (target == NULL && _PyPth_first->out
                     && _PyPth_self != _PyPth_first);
        }
        else if (_PyPth_inside) {
            parked = (target == NULL || target == _PyPth_self)
                     && _PyPth_BeginHandler(context);
            defer = !parked;
        }
        else {
            defer = _PyPth_IsForOther(signum, info, target, context);
        }
        if (defer) {
            _PyPth_DeferSignal(signum, info, target);
            if (_PyPth_inside) {
                // If it is sent again, it may well come there again.
                _PyPth_Postpone();
            }
            return;
        }
    }
    char *before = _PyPth_handler;
    if (!_PyPth_InHandler()) {
        _PyPth_handler = __builtin_frame_address(0);
    }
    if (handlers[signum].sa_flags & SA_SIGINFO) {
        handlers[signum].sa_sigaction(signum, info, context);
    }
    else {
        handlers[signum].sa_handler(signum);
    }
    _PyPth_handler = before;
    if (parked) {
        _PyPth_EndHandler();
    }
}

static void
call_handler(int signum, siginfo_t *info, void *context)
{
    run_handler(signum, info, context);
    _PyPth_KeepAltstack(context);
}

MAPPED int
sigaction(int signum, const struct sigaction *action, struct sigaction *old)
{
    if (_PyPth_SignalAction(signum, action, old)) {
        return 0;
    }
    if (signum <= 0 || signum >= _NSIG) {
        return real(sigaction)(signum, action, old);
    }
    if (action != NULL) {
        // What came before is for the handler that was set before.
        _PyPth_FlushSignals();
    }
    struct sigaction new, before, before_user = handlers[signum];
    const struct sigaction *set = action;
    if (action != NULL && action->sa_handler != SIG_DFL
        && action->sa_handler != SIG_IGN)
    {
        new = *action;
        new.sa_sigaction = call_handler;
        new.sa_flags |= SA_SIGINFO;
        handlers[signum] = *action;
        set = &new;
    }
    int result = real(sigaction)(signum, set, &before);
    if (result != 0) {
        handlers[signum] = before_user;
    }
    else if (old != NULL) {
        *old = before;
        if (before.sa_sigaction == call_handler) {
            old->sa_sigaction = before_user.sa_sigaction;
            if (!(before_user.sa_flags & SA_SIGINFO)) {
                old->sa_flags &= ~SA_SIGINFO;
            }
        }
    }
    return result;
}

int
_PyPth_HasHandler(int signum)
{
    struct sigaction now;
    return real(sigaction)(signum, NULL, &now) == 0
           && now.sa_sigaction == call_handler;
}

// signal(2), "Portability": System calls are restarted, the handler stays.
MAPPED sighandler_t
signal(int signum, sighandler_t handler)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct sigaction old;
    if (handler == SIG_ERR) {
        errno = EINVAL;
        return SIG_ERR;
    }
    sigaddset(&action.sa_mask, signum);
    return sigaction(signum, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

MAPPED int
sigpending(sigset_t *set)
{
    if (in_pth()) {
        return sigemptyset(set);
    }
    int result = real(sigpending)(set);
    if (result == 0 && _PyPth_self != NULL) {
        uint64_t pending;
        memcpy(&pending, set, sizeof(pending));
        pending |= _PyPth_self->pending;
        memcpy(set, &pending, sizeof(pending));
    }
    return result;
}


/* What the kernel knows of the kernel thread, and not of the thread. */

DECLARE_REAL(sigaltstack)
DECLARE_REAL(pthread_kill)

int
_PyPth_sys_sigaltstack(const stack_t *stack, stack_t *old)
{
    return real(sigaltstack)(stack, old);
}

MAPPED int
sigaltstack(const stack_t *stack, stack_t *old)
{
    _PyPth_thread *self = _PyPth_self;
    if (self == NULL || _PyPth_vforked || _PyPth_inside) {
        return real(sigaltstack)(stack, old);
    }
    _PyPth_thread *kernel = _PyPth_KernelOf(self);
    stack_t before;
    // The stack may be another thread's, which leaves it there while this one
    // runs, but not while it is in use: the kernel knows.
    int result = real(sigaltstack)(stack, &before);
    if (result != 0) {
        return result;
    }
    if (old != NULL) {
        *old = before;
        if (!self->has_altstack) {
            memset(old, 0, sizeof(*old));
            old->ss_flags = SS_DISABLE;
        }
    }
    if (stack != NULL) {
        self->has_altstack = !(stack->ss_flags & SS_DISABLE);
        self->altstack = *stack;
        kernel->alt_owner = self->has_altstack ? self : NULL;
    }
    return 0;
}

int
_PyPth_sys_pthread_kill(pthread_t thread, int signum)
{
    return real(pthread_kill)(thread, signum);
}

// What the calling thread sends itself: does it block that, so that it is to wait
// for this thread, and for nobody else who comes to the kernel thread?
static int
waits_for_self(int signum)
{
    return _PyPth_self != NULL && _PyPth_nthreads > 1
           && signum > 0 && signum <= SIGRTMAX
           && (_PyPth_self->sigmask & PTH_SIGNAL_BIT(signum));
}

MAPPED int
pthread_kill(pthread_t thread, int signum)
{
    if (_PyPth_vforked || _PyPth_inside || _PyPth_InHandler()
        || (pthread_equal(thread, pthread_self()) && !waits_for_self(signum)))
    {
        return real(pthread_kill)(thread, signum);
    }
    return _PyPth_Kill((unsigned long)thread, signum);
}

DECLARE_REAL(raise)

MAPPED int
raise(int signum)
{
    if (!waits_for_self(signum)) {
        return real(raise)(signum);
    }
    int err = pthread_kill(pthread_self(), signum);
    if (err != 0) {
        errno = err;
        return -1;
    }
    return 0;
}

DECLARE_REAL(pthread_exit)

void
_PyPth_sys_pthread_exit(void *value)
{
    real(pthread_exit)(value);
}

MAPPED void
pthread_exit(void *value)
{
    _PyPth_Exit(value);
}


/* Waiting for signals. */

// What is sent to a thread, and what it lets through, the kernel knows on the
// thread's own kernel thread alone.
#define SIGNALS _PyPth_TakeSignalsHome(NULL)

ON_OWN(SIGNALS, int, sigwait, (const sigset_t *set, int *signum),
       (set, signum))
ON_OWN(SIGNALS, int, sigwaitinfo, (const sigset_t *set, siginfo_t *info),
       (set, info))
ON_OWN(SIGNALS, int, sigtimedwait,
       (const sigset_t *set, siginfo_t *info, const struct timespec *timeout),
       (set, info, timeout))

// What is pending stays so for another program (execve(2)).
#define PENDING                                                 \
    if (_PyPth_self != NULL && _PyPth_self->pending != 0) {     \
        SIGNALS;                                                \
    }

ON_OWN(PENDING, int, execv, (const char *path, char *const *argv), (path, argv))
ON_OWN(PENDING, int, execve,
       (const char *path, char *const *argv, char *const *envp),
       (path, argv, envp))
ON_OWN(PENDING, int, fexecve, (int fd, char *const *argv, char *const *envp),
       (fd, argv, envp))

// The same for a call that has `mask` as long as it waits.
#define CALL_WITH_MASK(name, args)                              \
    _PyPth_TakeSignalsHome(mask);                               \
    int result = real(name) args;                               \
    _PyPth_LeaveCallMask();                                     \
    return result

#define WITH_MASK(name, params, args)                           \
    DECLARE_REAL(name)                                          \
    MAPPED int                                                  \
    name params                                                 \
    {                                                           \
        if (mask == NULL) {                                     \
            return real(name) args;                             \
        }                                                       \
        CALL_WITH_MASK(name, args);                             \
    }

DECLARE_REAL(sigsuspend)

MAPPED int
sigsuspend(const sigset_t *mask)
{
    CALL_WITH_MASK(sigsuspend, (mask));
}

WITH_MASK(pselect,
          (int nfds, fd_set *r, fd_set *w, fd_set *e,
           const struct timespec *timeout, const sigset_t *mask),
          (nfds, r, w, e, timeout, mask))
WITH_MASK(epoll_pwait,
          (int epfd, struct epoll_event *events, int maxevents, int timeout,
           const sigset_t *mask), (epfd, events, maxevents, timeout, mask))

DECLARE_REAL(ppoll)

MAPPED int
ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
      const sigset_t *mask)
{
    if (mask == NULL) {
#ifdef HAVE_PTH_SYSCALLS
        if (can_map(ppoll)) {
            return _PyPth_Ppoll(fds, nfds, timeout);
        }
#endif
        return real(ppoll)(fds, nfds, timeout, NULL);
    }
    CALL_WITH_MASK(ppoll, (fds, nfds, timeout, mask));
}

// Since glibc 2.35; declared here for those before, which nobody can have
// linked to.
extern int epoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
                        const struct timespec *timeout, const sigset_t *mask);

WITH_MASK(epoll_pwait2,
          (int epfd, struct epoll_event *events, int maxevents,
           const struct timespec *timeout, const sigset_t *mask),
          (epfd, events, maxevents, timeout, mask))

MAPPED int
__ppoll_chk(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
            const sigset_t *mask, size_t size)
{
    if (nfds > size / sizeof(*fds)) {
        __chk_fail();
    }
    return ppoll(fds, nfds, timeout, mask);
}

/* The pipe of stock Pth */

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


#ifdef HAVE_PTH_SYSCALLS

/* What the mapped calls have in common */

int
_PyPth_WaitFd(int fd, short events, int flags, short *revents)
{
    struct pollfd p = {fd, events, 0};
    _PyPth_result result = _PyPth_WaitFds(&p, 1, _PyPth_FOREVER,
                                          _PyPth_INTERRUPTIBLE
                                          | _PyPth_ONE_TAKES | flags);
    if (result == _PyPth_INTR) {
        errno = EINTR;
        return -1;
    }
    if (p.revents & POLLNVAL) {
        errno = EBADF;
        return -1;
    }
    forget_error();
    if (revents != NULL) {
        *revents = p.revents;
    }
    return result == _PyPth_ERROR ? CANNOT_WAIT : 0;
}

int
_PyPth_WaitInput(int fd, int (*blocks)(int fd))
{
    struct pollfd p = {fd, POLLIN, 0};
    for (int first = 1; _PyPth_PollNow(&p, 1) == 0; first = 0) {
        if (first && !blocks(fd)) {
            forget_error();
            break;
        }
        int result = _PyPth_WaitFd(fd, POLLIN, 0, NULL);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}


/* Descriptors that are closed: somebody may wait for them, and their numbers
   become other files'. */

DECLARE_REAL(close)
DECLARE_REAL(fcntl)
DECLARE_REAL(dup2)
DECLARE_REAL(dup3)
DECLARE_REAL(close_range)

static void
closing(unsigned int first, unsigned int last)
{
    _PyPth_ForgetKinds(first, last);
    _PyPth_ClosingFds(first, last);
}

// The same for one descriptor.  A socket with SO_LINGER (socket(7)) may wait
// until its data is sent, and no longer if a signal comes.
static void
closing_fd(int fd)
{
    struct linger linger = {0};
    socklen_t len = sizeof(linger);
    if (can_switch() && on_first()) {
        if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0
            && linger.l_onoff)
        {
            _PyPth_LeaveFirst();
        }
        forget_error();
    }
    // A number below 0 is no descriptor's.
    closing((unsigned int)fd, (unsigned int)fd);
}

MAPPED int
close(int fd)
{
    closing_fd(fd);
    return real(close)(fd);
}

// `fd2` is about to be made a duplicate of `fd`, if it can be.
static void
replacing(int fd, int fd2)
{
    struct rlimit limit;
    if (fd != fd2 && real(fcntl)(fd, F_GETFD) >= 0 && fd2 >= 0
        && getrlimit(RLIMIT_NOFILE, &limit) == 0
        && (rlim_t)fd2 < limit.rlim_cur)
    {
        closing_fd(fd2);
    }
}

MAPPED int
dup2(int fd, int fd2)
{
    int err = errno;
    replacing(fd, fd2);
    errno = err;
    return real(dup2)(fd, fd2);
}

MAPPED int
dup3(int fd, int fd2, int flags)
{
    int err = errno;
    if ((flags & ~O_CLOEXEC) == 0) {
        replacing(fd, fd2);
    }
    errno = err;
    return real(dup3)(fd, fd2, flags);
}

MAPPED int
close_range(unsigned int first, unsigned int last, int flags)
{
    // With flags it closes nothing, or in another table of descriptors.
    if (flags == 0 && first <= last) {
        if (can_switch()) {
            leave_first();
        }
        closing(first, last);
    }
    return real(close_range)(first, last, flags);
}

#endif  // HAVE_PTH_SYSCALLS
