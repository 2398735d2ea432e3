// GNU Pth backend: a signal mask a thread.
//
// The kernel knows one thread, and has one mask: that of the Python thread
// that runs, for Pth's switch carries it along (swapcontext(3)).  What POSIX
// says of many threads needs more.  A signal for the process is taken by any
// thread that does not block it, so no signal may stay blocked because the
// thread that idles or computes blocks it: _PyPth_SharedMask().  And a signal
// for a thread that blocks it stays pending there: _PyPth_Kill().

#include "pth_internal.h"

#include <sys/syscall.h>          // SYS_tgkill
#include <unistd.h>               // syscall()

// True once a thread has changed its mask while others lived.
static char masks_differ = 0;

// What all threads block.  Valid while !shared_stale.
static sigset_t shared_mask;
static char shared_stale = 1;

void
_PyPth_GetSignalMask(sigset_t *mask)
{
    // The kernel's mask has fewer bits than the C library's.
    memset(mask, 0, sizeof(*mask));
    (void)_PyPth_sys_sigmask(SIG_SETMASK, NULL, mask);
}

void
_PyPth_TellSignalMask(void)
{
    if (_PyPth_LibraryPatches() != NULL) {
        int in_pth = _PyPth_in_pth;
        // Its own sigprocmask() goes straight through.
        _PyPth_in_pth = 1;
        (void)pth_sigmask(SIG_SETMASK, &_PyPth_current->sigmask, NULL);
        _PyPth_in_pth = in_pth;
    }
}

void
_PyPth_MaskStale(void)
{
    shared_stale = 1;
}

// Send the calling thread what was pending for it and is blocked no more.
static void
deliver_pending(_PyPth_thread *self)
{
    for (int signum = 1; signum <= SIGRTMAX; signum++) {
        if (sigismember(&self->pending, signum) == 1
            && sigismember(&self->sigmask, signum) == 0)
        {
            sigdelset(&self->pending, signum);
            // Not raise(): in the child of a vfork() that would be the child.
            (void)syscall(SYS_tgkill, _PyPth_kernel_pid, _PyPth_kernel_tid,
                          signum);
        }
    }
}

void
_PyPth_MaskChanged(void)
{
    _PyPth_thread *self = _PyPth_current;
    if (_PyPth_main.tid == NULL) {
        // _PyPth_Start() looks at the mask of the first thread itself.
        return;
    }
    _PyPth_GetSignalMask(&self->sigmask);
    _PyPth_TellSignalMask();
    masks_differ = 1;
    shared_stale = 1;
    if (self->has_pending) {
        deliver_pending(self);
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
    if (!masks_differ) {
        return NULL;
    }
    if (shared_stale) {
        sigfillset(&shared_mask);
        for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
            sigset_t mask = shared_mask;
            sigandset(&shared_mask, &mask, mask_of(t));
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
        && memcmp(shared, &_PyPth_current->sigmask, sizeof(*shared)) != 0)
    {
        (void)_PyPth_sys_sigmask(SIG_SETMASK, shared, &mine);
        (void)_PyPth_sys_sigmask(SIG_SETMASK, &mine, NULL);
    }
}

// ppoll(), pselect() and epoll_pwait().  The kernel's mask stays as it is: it
// is the shared one that counts while the thread waits.
int _PyPth_nwaitmasks = 0;

void
_PyPth_BeginWaitMask(const sigset_t *mask)
{
    _PyPth_thread *self = _PyPth_current;
    self->waitmask = *mask;
    _PyPth_UnblockSlice(&self->waitmask);
    self->has_waitmask = 1;
    _PyPth_nwaitmasks++;
    masks_differ = 1;
    shared_stale = 1;
}

void
_PyPth_EndWaitMask(void)
{
    _PyPth_current->has_waitmask = 0;
    _PyPth_nwaitmasks--;
    shared_stale = 1;
}

int
_PyPth_TakesSignal(_PyPth_thread *thread, const sigset_t *set)
{
    if (!masks_differ) {
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

int
_PyPth_TakePending(const sigset_t *set)
{
    _PyPth_thread *self = _PyPth_current;
    if (self->has_pending) {
        for (int signum = 1; signum <= SIGRTMAX; signum++) {
            if (sigismember(set, signum) == 1
                && sigismember(&self->pending, signum) == 1)
            {
                sigdelset(&self->pending, signum);
                return signum;
            }
        }
    }
    return 0;
}

int
_PyPth_Kill(unsigned long ident, int signum)
{
    _PyPth_thread *thread = _PyPth_FindThread(ident);
    if (thread == NULL) {
        return ESRCH;
    }
    if (thread != _PyPth_current && masks_differ && signum > 0
        && sigismember(&thread->sigmask, signum) == 1)
    {
        if (!thread->has_pending) {
            thread->has_pending = 1;
            sigemptyset(&thread->pending);
        }
        sigaddset(&thread->pending, signum);
        if (thread->sigwait != NULL
            && sigismember(thread->sigwait, signum) == 1
            && _PyPth_IsBlocked(thread))
        {
            _PyPth_WakeThread(thread, _PyPth_WOKEN);
        }
        return 0;
    }
    return pthread_kill(_PyPth_kernel_thread, signum);
}
