// GNU Pth backend: signals.
//
// The kernel knows a signal mask for each kernel thread.  That of a thread
// that is out is the thread's; that of the carrier is the mask of the thread
// that it runs, and it changes only where two differ.  What POSIX says of
// threads needs more.  A signal for the process is taken by any thread that
// does not block it, so no signal may stay blocked because the thread that
// idles or computes blocks it: _PyPth_SharedMask().  And a signal for a thread
// goes to the kernel thread that runs it, or waits until one does:
// _PyPth_Kill().

#include "pth_internal.h"

#include <sys/syscall.h>
#include <unistd.h>               // syscall()

char _PyPth_masks_differ = 0;

// What all threads block that are in.  Valid while !shared_stale.
static sigset_t shared_mask;
static char shared_stale = 1;


/* The signal by which the backend interrupts a kernel thread.  The last but
   one of the real-time signals: valgrind has the last, the first ones are what
   programs take. */

// What the program has set for it, and is told when it asks.
static struct sigaction user_action;
static int have_handler = 0;

static void
handler(int Py_UNUSED(signum), siginfo_t *info, void *context)
{
    int err = errno;
    if (info->si_code == SI_QUEUE && info->si_pid == getpid()) {
        if (info->si_value.sival_ptr == NULL) {
            _PyPth_Kicked();
        }
        else {
            _PyPth_Expelled(info->si_value.sival_ptr, (ucontext_t *)context);
        }
    }
    errno = err;
}

void
_PyPth_UnblockSignal(sigset_t *mask)
{
    sigdelset(mask, _PyPth_SIGNAL);
}

int
_PyPth_TakeSignal(void)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = handler;
    // The mask stays as it is: the kernel thread may leave the handler for
    // another thread (_PyPth_Expelled()).
    sa.sa_flags = SA_RESTART | SA_SIGINFO | SA_NODEFER;
    if (_PyPth_sys_sigaction(_PyPth_SIGNAL, &sa,
                             have_handler ? NULL : &user_action) != 0)
    {
        return -1;
    }
    have_handler = 1;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, _PyPth_SIGNAL);
    // Straight: this is no mask that differs from thread to thread.
    (void)_PyPth_sys_sigmask(SIG_UNBLOCK, &mask, NULL);
    if (_PyPth_self != NULL) {
        _PyPth_GetSignalMask(&_PyPth_self->sigmask);
        _PyPth_self->kmask = _PyPth_self->sigmask;
    }
    return 0;
}

void
_PyPth_SendSignal(pid_t tid, _PyPth_thread *kernel)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = _PyPth_SIGNAL;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = kernel;
    int err = errno;
    (void)syscall(SYS_rt_tgsigqueueinfo, info.si_pid, tid, _PyPth_SIGNAL,
                  &info);
    errno = err;
}

int
_PyPth_SignalAction(int signum, const struct sigaction *action,
                    struct sigaction *old)
{
    if (signum != _PyPth_SIGNAL || !have_handler) {
        return 0;
    }
    struct sigaction before = user_action;
    if (action != NULL) {
        user_action = *action;
    }
    if (old != NULL) {
        *old = before;
    }
    return 1;
}


/* Masks */

void
_PyPth_GetSignalMask(sigset_t *mask)
{
    // The kernel's mask has fewer bits than the C library's.
    memset(mask, 0, sizeof(*mask));
    (void)_PyPth_sys_sigmask(SIG_SETMASK, NULL, mask);
}

void
_PyPth_MaskStale(void)
{
    shared_stale = 1;
}

void
_PyPth_DeliverPending(_PyPth_thread *self)
{
    for (int signum = 1; signum <= SIGRTMAX; signum++) {
        if (sigismember(&self->pending, signum) == 1
            && sigismember(&self->sigmask, signum) == 0)
        {
            sigdelset(&self->pending, signum);
            // Out on its own kernel thread or not: this is where it runs.
            (void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signum);
        }
    }
}

void
_PyPth_MaskChanged(void)
{
    _PyPth_thread *self = _PyPth_self;
    if (!_PyPth_CanLend()) {
        // _PyPth_TakeSignal() looks at the mask of the first thread itself.
        return;
    }
    _PyPth_Lock();
    _PyPth_GetSignalMask(&self->sigmask);
    (self->out ? self->on : _PyPth_carrier)->kmask = self->sigmask;
    if (_PyPth_nthreads > 1 || self != _PyPth_first) {
        _PyPth_masks_differ = 1;
    }
    shared_stale = 1;
    _PyPth_Unlock();
    if (self->has_pending) {
        _PyPth_DeliverPending(self);
    }
}

// What it blocks now.
static const sigset_t *
mask_of(_PyPth_thread *thread)
{
    return thread->has_waitmask ? &thread->waitmask : &thread->sigmask;
}

const sigset_t *
_PyPth_SharedMask(void)
{
    if (!_PyPth_masks_differ) {
        return NULL;
    }
    if (shared_stale) {
        sigfillset(&shared_mask);
        _PyPth_UnblockSignal(&shared_mask);
        for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
            // The kernel thread of one that is out has the thread's mask.
            if (!t->out) {
                sigset_t mask = shared_mask;
                sigandset(&shared_mask, &mask, mask_of(t));
            }
        }
        shared_stale = 0;
    }
    return &shared_mask;
}

void
_PyPth_TakeSignals(void)
{
    const sigset_t *shared = _PyPth_SharedMask();
    sigset_t mine;
    if (shared != NULL
        && memcmp(shared, &_PyPth_self->sigmask, _NSIG / 8) != 0)
    {
        (void)_PyPth_sys_sigmask(SIG_SETMASK, shared, &mine);
        (void)_PyPth_sys_sigmask(SIG_SETMASK, &mine, NULL);
    }
}

int
_PyPth_SignalsWait(void)
{
    const sigset_t *shared = _PyPth_SharedMask();
    if (shared == NULL) {
        return 0;
    }
    // The monitor blocks all, so this tells all that wait for the process.
    uint64_t pending = 0, blocked;
    memcpy(&blocked, shared, sizeof(blocked));
    (void)syscall(SYS_rt_sigpending, &pending, sizeof(pending));
    return (pending & ~blocked) != 0;
}

// ppoll(), pselect() and epoll_pwait().  The kernel's mask stays as it is: it
// is the shared one that counts while the thread waits.
int _PyPth_nwaitmasks = 0;

void
_PyPth_BeginWaitMask(const sigset_t *mask)
{
    _PyPth_thread *self = _PyPth_self;
    _PyPth_Lock();
    self->waitmask = *mask;
    _PyPth_UnblockSignal(&self->waitmask);
    self->has_waitmask = 1;
    _PyPth_nwaitmasks++;
    _PyPth_masks_differ = 1;
    shared_stale = 1;
    _PyPth_Unlock();
}

void
_PyPth_EndWaitMask(void)
{
    _PyPth_Lock();
    _PyPth_self->has_waitmask = 0;
    _PyPth_nwaitmasks--;
    shared_stale = 1;
    _PyPth_Unlock();
}

int
_PyPth_TakesSignal(_PyPth_thread *thread, const sigset_t *set)
{
    if (!_PyPth_masks_differ) {
        // It was let through.
        return 1;
    }
    const sigset_t *mask = mask_of(thread);
    for (int signum = 1; signum <= SIGRTMAX; signum++) {
        if (sigismember(set, signum) == 1 && sigismember(mask, signum) == 0) {
            return 1;
        }
    }
    return 0;
}


/* Signals for one thread */

int
_PyPth_TakePending(const sigset_t *set)
{
    _PyPth_thread *self = _PyPth_self;
    int found = 0;
    _PyPth_Lock();
    if (self->has_pending) {
        for (int signum = 1; signum <= SIGRTMAX && !found; signum++) {
            if (sigismember(set, signum) == 1
                && sigismember(&self->pending, signum) == 1)
            {
                sigdelset(&self->pending, signum);
                found = signum;
            }
        }
    }
    _PyPth_Unlock();
    return found;
}

// The kernel thread that runs the thread, or 0: none does.  Locked.
static pid_t
runs_on(_PyPth_thread *thread)
{
    if (thread->out) {
        return thread->on->tid;
    }
    return thread == _PyPth_after ? _PyPth_carrier->tid : 0;
}

int
_PyPth_Kill(unsigned long ident, int signum)
{
    if (signum < 0 || signum > SIGRTMAX) {
        return EINVAL;
    }
    _PyPth_Lock();
    _PyPth_thread *thread = _PyPth_FindThread(ident);
    if (thread == NULL || thread->ended) {
        int finished = _PyPth_IsFinished(ident);
        _PyPth_Unlock();
        return finished ? ESRCH
               : _PyPth_sys_pthread_kill((pthread_t)ident, signum);
    }
    int result = 0;
    pid_t tid = runs_on(thread);
    if (tid != 0 && !(thread->out && thread->on == thread)
        && sigismember(&thread->sigmask, signum) == 1)
    {
        // On another one's kernel thread it would wait for that one.
        tid = 0;
    }
    if (tid == 0 && thread == _PyPth_first && _PyPth_carrier != thread
        && !thread->busy
        && sigismember(&thread->sigmask, signum) == 0)
    {
        // Its kernel thread takes signals while it waits.
        tid = thread->tid;
    }
    if (signum == 0) {
    }
    else if (tid != 0) {
        // Before it changes places.
        result = syscall(SYS_tgkill, getpid(), tid, signum) == 0 ? 0 : errno;
    }
    else {
        if (!thread->has_pending) {
            thread->has_pending = 1;
            sigemptyset(&thread->pending);
        }
        sigaddset(&thread->pending, signum);
        if (!thread->out && _PyPth_IsBlocked(thread)) {
            struct sigaction sa;
            if (thread->sigwait != NULL) {
                if (sigismember(thread->sigwait, signum) == 1) {
                    _PyPth_WakeThread(thread, _PyPth_WOKEN);
                }
            }
            else if ((thread->flags & _PyPth_INTERRUPTIBLE)
                     && sigismember(mask_of(thread), signum) == 0
                     && _PyPth_sys_sigaction(signum, NULL, &sa) == 0
                     && sa.sa_handler != SIG_IGN)
            {
                // Its handler runs before the call returns with EINTR.
                _PyPth_WakeThread(thread, _PyPth_INTR);
            }
            else {
                // It runs the handler, and waits on.
                thread->deliver = 1;
                _PyPth_MakeReady(thread);
            }
        }
    }
    _PyPth_Unlock();
    return result;
}
