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

#include "pycore_runtime.h"       // _PyRuntime.main_thread

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
        else if (info->si_value.sival_ptr == _PyPth_INTERRUPT) {
            _PyPth_EndCall((ucontext_t *)context);
        }
        else {
            _PyPth_Expelled(info->si_value.sival_ptr, (ucontext_t *)context);
        }
    }
    errno = err;
}

// Set one of the backend's own handlers.  Return 0, or -1 and errno.
static int
set_handler(int signum, void (*func)(int, siginfo_t *, void *),
            struct sigaction *old)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = func;
    // The mask stays as it is: the kernel thread may leave the handler for
    // another thread (_PyPth_Expelled()).
    sa.sa_flags = SA_RESTART | SA_SIGINFO | SA_NODEFER;
    return _PyPth_sys_sigaction(signum, &sa, old);
}

// A signal of the system that nothing uses (signal(7)), for when the backend's
// cannot be sent: real-time signals need room, of which RLIMIT_SIGPENDING may
// leave none.  It does not say what it means: do all that it can mean here.
#define STANDBY SIGSTKFLT

static void
standby_handler(int Py_UNUSED(signum), siginfo_t *Py_UNUSED(info),
                void *context)
{
    int err = errno;
    pid_t tid = (pid_t)_PyPth_Sys(SYS_gettid);
    if (_PyPth_IsKicked(tid)) {
        _PyPth_Kicked();
    }
    _PyPth_thread *t = _Py_atomic_load_ptr_acquire(&_PyPth_records);
    while (t != NULL && !(t->tid == tid && t->sent_away != NULL)) {
        t = t->record_next;
    }
    if (t != NULL) {
        _PyPth_Expelled(t, (ucontext_t *)context);
    }
    else if (_Py_atomic_load_int_relaxed(&_PyRuntime.signals.is_tripped)) {
        _PyPth_EndCall((ucontext_t *)context);
    }
    errno = err;
}

static void
send_standby(pid_t tid)
{
    struct sigaction sa;
    if (_PyPth_sys_sigaction(STANDBY, NULL, &sa) != 0) {
        return;
    }
    int ours = (sa.sa_flags & SA_SIGINFO)
               ? sa.sa_sigaction == standby_handler
               : sa.sa_handler == SIG_DFL
                 && set_handler(STANDBY, standby_handler, NULL) == 0;
    if (ours) {
        (void)_PyPth_Sys(SYS_tgkill, getpid(), tid, STANDBY);
    }
}

void
_PyPth_UnblockSignal(sigset_t *mask)
{
    sigdelset(mask, _PyPth_SIGNAL);
}

uint64_t
_PyPth_AllOtherSignals(void)
{
    return ~(PTH_SIGNAL_BIT(_PyPth_SIGNAL) | PTH_SIGNAL_BIT(STANDBY)
             | PTH_SIGNAL_BIT(PTH_SIGSETXID));
}

int
_PyPth_TakeSignal(void)
{
    if (!have_handler) {
        if (set_handler(_PyPth_SIGNAL, handler, &user_action) != 0) {
            return -1;
        }
        have_handler = 1;
    }
    uint64_t mask = _PyPth_GetSignalMask();
    if (_PyPth_self != NULL) {
        _PyPth_self->kmask = _PyPth_self->sigmask = mask;
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
    if (_PyPth_Sys(SYS_rt_tgsigqueueinfo, info.si_pid, tid, _PyPth_SIGNAL,
                   &info) != 0
        && errno == EAGAIN)
    {
        send_standby(tid);
    }
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

uint64_t
_PyPth_GetSignalMask(void)
{
    uint64_t mask = 0, ours = PTH_SIGNAL_BIT(_PyPth_SIGNAL);
    (void)_PyPth_Sys(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask,
                     sizeof(mask));
    if ((mask & ours) && have_handler) {
        // As a thread inherits it from one that blocks all signals, for example.
        (void)_PyPth_Sys(SYS_rt_sigprocmask, SIG_UNBLOCK, &ours, NULL,
                         sizeof(ours));
        mask &= ~ours;
    }
    return mask;
}

void
_PyPth_FindFirstMask(void)
{
    _PyPth_thread *first = _PyPth_first;
    if (_PyPth_ReadStatus(first->tid, "\nSigBlk:", 16, &first->kmask) == 0) {
        first->sigmask = first->kmask & ~PTH_SIGNAL_BIT(_PyPth_SIGNAL);
        _PyPth_masks_differ = (first->kmask != first->sigmask);
    }
}

void
_PyPth_MaskInherited(_PyPth_thread *thread)
{
    shared_stale = 1;
    if (thread->sigmask != _PyPth_first->sigmask) {
        _PyPth_masks_differ = 1;
    }
}

void
_PyPth_MaskStale(void)
{
    shared_stale = 1;
}

// What the kernel told of a signal, and whom it is for.
typedef struct {
    _PyPth_thread *thread;
    siginfo_t info;
} told_signal;

// Of those that are pending for one thread, but for what there is no room for.  One of
// each number is kept for a thread.
#define MAX_TOLD 64
static told_signal told[MAX_TOLD];
static int ntold = 0;             // so many were ever used

// What the kernel does not let a thread send in its name (rt_sigqueueinfo(2),
// EPERM: it must be the first one, or send it to itself).  It goes by a pointer to
// here, and is used again after so many others.
#define MAX_ORIGINALS 64
static told_signal originals[MAX_ORIGINALS];

// Send the signal to `thread`, by way of the kernel thread that it is on.
static int
send_signal(_PyPth_thread *thread, pid_t tid, int signum,
            const siginfo_t *info)
{
    pid_t pid = getpid();
    int handled = _PyPth_HasHandler(signum);
    // Else another one may run there when it comes, and the handler has to know.
    int surely = !handled || (thread->out && thread->on == thread
                              && tid == thread->tid);
    siginfo_t by_thread = {.si_code = SI_TKILL};
    if (info == NULL) {
        if (surely) {
            return _PyPth_Sys(SYS_tgkill, pid, tid, signum) == 0 ? 0 : errno;
        }
        by_thread.si_pid = pid;
        by_thread.si_uid = getuid();
        info = &by_thread;
    }
    struct sigaction sa;
    if (!handled && !(thread->sigmask & PTH_SIGNAL_BIT(signum))
        && _PyPth_sys_sigaction(signum, NULL, &sa) == 0
        && !(sa.sa_flags & SA_SIGINFO) && sa.sa_handler == SIG_DFL)
    {
        // There was a handler when it came.
        return 0;
    }
    siginfo_t sent = *info;
    if (info->si_code >= 0
        || (info->si_code == SI_TKILL
            && !(surely && tid == (pid_t)_PyPth_Sys(SYS_gettid))))
    {
        static int next = 0;
        unsigned int i = (unsigned int)_Py_atomic_add_int(&next, 1);
        told_signal *original = &originals[i % MAX_ORIGINALS];
        original->thread = thread;
        original->info = *info;
        original->info.si_signo = signum;
        memset(&sent, 0, sizeof(sent));
        sent.si_signo = signum;
        sent.si_code = SI_QUEUE;
        sent.si_pid = pid;
        sent.si_value.sival_ptr = original;
    }
    return _PyPth_Sys(SYS_rt_tgsigqueueinfo, pid, tid, signum, &sent) == 0
           ? 0 : errno;
}

_PyPth_thread *
_PyPth_GetOriginalInfo(int signum, siginfo_t *info)
{
    uintptr_t offset = (uintptr_t)info->si_value.sival_ptr - (uintptr_t)originals;
    if (info->si_code != SI_QUEUE || offset >= sizeof(originals)
        || offset % sizeof(told_signal) != 0)
    {
        return NULL;
    }
    told_signal *original = info->si_value.sival_ptr;
    if (original->info.si_signo != signum) {
        return NULL;
    }
    *info = original->info;
    return original->thread;
}

static void
add_pending(_PyPth_thread *thread, int signum, const siginfo_t *info)
{
    uint64_t bit = PTH_SIGNAL_BIT(signum);
    if (thread->pending & bit) {
        // The first one stays, as in the kernel.
        return;
    }
    told_signal *room = NULL;
    for (int i = 0; i < ntold; i++) {
        _PyPth_thread *t = told[i].thread;
        if (t != NULL && !(t->pending & PTH_SIGNAL_BIT(told[i].info.si_signo))) {
            // It has ended before it came.
            told[i].thread = t = NULL;
        }
        if (t == NULL) {
            room = &told[i];
        }
    }
    thread->pending |= bit;
    if (info == NULL) {
        return;
    }
    if (room == NULL && ntold < MAX_TOLD) {
        room = &told[ntold++];
    }
    if (room != NULL) {
        room->thread = thread;
        room->info = *info;
        room->info.si_signo = signum;
    }
}

// The signal is pending for the thread no more.  Return what the kernel has told of it,
// in `info`, or NULL.  Locked.
static const siginfo_t *
take_pending(_PyPth_thread *thread, int signum, siginfo_t *info)
{
    thread->pending &= ~PTH_SIGNAL_BIT(signum);
    for (int i = 0; i < ntold; i++) {
        if (told[i].thread == thread && told[i].info.si_signo == signum) {
            told[i].thread = NULL;
            *info = told[i].info;
            return info;
        }
    }
    return NULL;
}

void
_PyPth_DeliverPending(_PyPth_thread *self)
{
    for (int signum = 1; signum <= SIGRTMAX; signum++) {
        uint64_t bit = PTH_SIGNAL_BIT(signum);
        if (!(self->pending & ~self->sigmask & bit)) {
            continue;
        }
        siginfo_t info;
        const siginfo_t *known = NULL;
        _PyPth_Lock();
        int pends = (self->pending & bit) != 0;
        if (pends) {
            known = take_pending(self, signum, &info);
        }
        _PyPth_Unlock();
        if (pends) {
            // Out on its own kernel thread or not: this is where it runs.
            (void)send_signal(self, (pid_t)_PyPth_Sys(SYS_gettid), signum, known);
        }
    }
}

void
_PyPth_TakeFromHome(_PyPth_thread *self)
{
    siginfo_t info;
    struct timespec zero = {0, 0};
    for (int signum = 1; signum <= SIGRTMAX; signum++) {
        uint64_t bit = PTH_SIGNAL_BIT(signum);
        // It may have been taken; the kernel gives its own before the process's.
        if ((self->waits_at_home & bit)
            && _PyPth_Sys(SYS_rt_sigtimedwait, &bit, &info, &zero, sizeof(bit))
               == signum)
        {
            (void)_PyPth_GetOriginalInfo(signum, &info);
            add_pending(self, signum, &info);
        }
    }
    self->waits_at_home = 0;
}

void
_PyPth_SendPending(_PyPth_thread *thread)
{
    siginfo_t info;
    thread->deliver = 0;
    for (int signum = 1; signum <= SIGRTMAX; signum++) {
        if (thread->pending & ~thread->sigmask & PTH_SIGNAL_BIT(signum)) {
            (void)send_signal(thread, _PyPth_carrier->tid, signum,
                              take_pending(thread, signum, &info));
        }
    }
}

// Does any thread block others than the calling one, which has changed its mask?
static char
any_mask_differs(void)
{
    uint64_t mask = _PyPth_self->sigmask;
    for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
        if (t->sigmask != mask) {
            return 1;
        }
    }
    return 0;
}

// The mask that pthread_sigmask() has made of the one before.
static uint64_t
mask_after(int how, const sigset_t *set, const sigset_t *before)
{
    uint64_t mask, was;
    memcpy(&mask, set, sizeof(mask));
    memcpy(&was, before, sizeof(was));
    // The kernel and the C library leave these alone (signal(7), nptl(7)).
    mask &= ~(PTH_SIGNAL_BIT(SIGKILL) | PTH_SIGNAL_BIT(SIGSTOP)
              | PTH_SIGNAL_BIT(PTH_SIGCANCEL) | PTH_SIGNAL_BIT(PTH_SIGSETXID));
    mask = (how == SIG_SETMASK ? mask
            : how == SIG_BLOCK ? was | mask : was & ~mask);
    // Of that more has to be known.
    return mask & PTH_SIGNAL_BIT(_PyPth_SIGNAL) ? _PyPth_GetSignalMask() : mask;
}

void
_PyPth_MaskChanged(int how, const sigset_t *set, const sigset_t *before)
{
    _PyPth_thread *self = _PyPth_self;
    if (!_PyPth_CanLend()) {
        // _PyPth_TakeSignal() looks at the mask of the first thread itself.
        return;
    }
    uint64_t mask = mask_after(how, set, before);
    _PyPth_Lock();
    _PyPth_KernelOf(self)->kmask = self->sigmask = mask;
    // It may have left a call by siglongjmp().
    self->has_call_mask = 0;
    // Often it has got back the one that it had before, as after a fork().
    _PyPth_masks_differ = _PyPth_nthreads > 1
                          ? !_PyPth_masks_differ || any_mask_differs()
                          : self != _PyPth_first;
    if (!_PyPth_masks_differ) {
        _PyPth_SetSpareMask(self->sigmask);
    }
    shared_stale = 1;
    _PyPth_Unlock();
    if (_PyPth_masks_differ) {
        // It looks after the signals that others may take.
        _PyPth_TellMonitor();
    }
    if (self->pending & ~self->sigmask) {
        _PyPth_DeliverPending(self);
    }
}

const sigset_t *
_PyPth_SharedMask(void)
{
    if (!_PyPth_masks_differ) {
        return NULL;
    }
    if (shared_stale) {
        uint64_t mask = ~PTH_SIGNAL_BIT(_PyPth_SIGNAL);
        for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
            // The kernel thread of one that is out has the thread's mask.
            if (!t->out) {
                mask &= t->sigmask;
            }
        }
        memcpy(&shared_mask, &mask, sizeof(mask));
        shared_stale = 0;
    }
    return &shared_mask;
}

int
_PyPth_TakesSignal(_PyPth_thread *thread, uint64_t set)
{
    // Where the masks are the same it was let through.
    return !_PyPth_masks_differ || (set & ~thread->sigmask) != 0;
}


/* Signals for one thread */

// Send the signal, with what the kernel has told of it, if anything.  Locked.
// Return 0, or an error number.
static int
send_to(_PyPth_thread *thread, int signum, const siginfo_t *info)
{
    uint64_t bit = PTH_SIGNAL_BIT(signum);
    int blocks = _PyPth_Blocks(thread, signum);
    pid_t tid = 0;
    if (thread->out) {
        // What it blocks would wait on another one's kernel thread for that one.
        tid = thread->on == thread || !blocks ? thread->on->tid : 0;
    }
    else if (thread == _PyPth_after && !_PyPth_IsBlocked(thread)) {
        tid = blocks ? 0 : _PyPth_carrier->tid;
    }
    else if (thread == _PyPth_first && _PyPth_carrier != thread
             && !thread->busy && !blocks)
    {
        // Its kernel thread takes signals while it waits.
        tid = thread->tid;
    }
    if (tid != 0) {
        // Before it changes places.
        if (thread->sigmask & bit) {
            thread->waits_at_home |= bit;
        }
        return send_signal(thread, tid, signum, info);
    }
    add_pending(thread, signum, info);
    if (thread->out || !_PyPth_IsBlocked(thread)) {
        return 0;
    }
    struct sigaction sa;
    thread->deliver = 1;
    if ((thread->flags & _PyPth_INTERRUPTIBLE) && !blocks
        && _PyPth_sys_sigaction(signum, NULL, &sa) == 0
        && sa.sa_handler != SIG_IGN)
    {
        // Its handler runs before the call returns with EINTR.
        _PyPth_WakeThread(thread, _PyPth_INTR);
    }
    else if (blocks && thread->fds != NULL) {
        // It looks again: see _PyPth_WaitFds().
        _PyPth_WakeThread(thread, _PyPth_WOKEN);
    }
    else {
        // It runs the handler, and waits on.
        _PyPth_MakeReady(thread);
    }
    return 0;
}

void
_PyPth_TakeSignalsHome(const sigset_t *mask)
{
    _PyPth_thread *self = _PyPth_self;
    // One that has ended may have sent it something.
    if (!_PyPth_InProgram() || (_PyPth_nthreads <= 1 && self->pending == 0)) {
        return;
    }
    if (mask != NULL) {
        // On the way there others take what it lets through, but leave it to this
        // thread: on stock that way is too short for a signal to come in between.
        memcpy(&self->call_mask, mask, sizeof(self->call_mask));
        _Py_atomic_store_int_release(&self->has_call_mask, 1);
    }
    if (self->alone) {
        return;
    }
    // With a mask of its own, by which the kernel decides what ends it.
    _PyPth_SetCall(PTH_WAITED);
    _PyPth_Lock();
    _PyPth_GoHome(self);
    siginfo_t info;
    for (int signum = 1; self->pending != 0 && signum <= SIGRTMAX; signum++) {
        if (self->pending & PTH_SIGNAL_BIT(signum)) {
            (void)send_to(self, signum, take_pending(self, signum, &info));
        }
    }
    _PyPth_Unlock();
}

// Return an errno value, or -1: it is none, or has ended.  Locked.
static int
kill_found(_PyPth_thread *thread, int signum)
{
    if (thread == NULL || thread->ended) {
        return -1;
    }
    return signum == 0 ? 0 : send_to(thread, signum, NULL);
}

int
_PyPth_KillTid(pid_t tid, int signum)
{
    if (signum < 0 || signum > SIGRTMAX) {
        return EINVAL;
    }
    _PyPth_Lock();
    int result = kill_found(_PyPth_FindTid(tid), signum);
    _PyPth_Unlock();
    return result;
}

int
_PyPth_Kill(unsigned long ident, int signum)
{
    if (signum < 0 || signum > SIGRTMAX) {
        return EINVAL;
    }
    _PyPth_Lock();
    int result = kill_found(_PyPth_FindThread(ident), signum);
    int finished = result < 0 && _PyPth_IsFinished(ident);
    _PyPth_Unlock();
    if (result >= 0) {
        return result;
    }
    return finished ? ESRCH
           : _PyPth_sys_pthread_kill((pthread_t)ident, signum);
}


/* Signals that come where no handler may run.  It may block, and must not do so
   while the backend is locked, or on the carrier while that waits for all: the
   signal is put aside, and sent to the thread that is to run the handler.  The
   main thread has the first claim, as in the kernel. */

#define FREE 0
#define WRITING 1
#define DEFERRED 2
static int deferred_state[_NSIG];
static struct {
    pthread_t target;             // 0: the process
    siginfo_t info;
} deferred[_NSIG];

volatile int _PyPth_deferred = 0;
static int some_put_aside = 0;    // by threads, for themselves

static inline int
sent_by_thread(const siginfo_t *info)
{
    return info->si_code == SI_TKILL && info->si_pid == getpid();
}

void
_PyPth_DeferSignal(int signum, const siginfo_t *info, _PyPth_thread *target)
{
    int state = FREE;
    target = target != NULL ? target : _PyPth_self;
    if (target != NULL && sent_by_thread(info)) {
        // Others may have the same for themselves.
        (void)_Py_atomic_or_uint64(&target->put_aside, PTH_SIGNAL_BIT(signum));
        _Py_atomic_store_int(&some_put_aside, 1);
    }
    else if (_Py_atomic_compare_exchange_int(&deferred_state[signum], &state,
                                             WRITING))
    {
        deferred[signum].info = *info;
        deferred[signum].target = info->si_code == SI_TKILL ? pthread_self()
                                                            : 0;
        _Py_atomic_store_int(&deferred_state[signum], DEFERRED);
    }
    _Py_atomic_store_int((int *)&_PyPth_deferred, 1);
    _PyPth_EndIdle();
    _PyPth_KickIdle();
    _PyPth_WakeMonitor();
}

// Who is to run the handler?  NULL: all block the signal.
static _PyPth_thread *
choose_thread(int signum)
{
    _PyPth_thread *thread =
        _PyPth_FindThread((unsigned long)_PyRuntime.main_thread);
    if (thread != NULL && !_PyPth_Blocks(thread, signum)) {
        return thread;
    }
    for (thread = _PyPth_threads; thread != NULL; thread = thread->all_next) {
        if (!_PyPth_Blocks(thread, signum)) {
            break;
        }
    }
    return thread;
}

// The thread is to have it after all.  Locked.
static void
send_deferred(_PyPth_thread *thread, int signum, const siginfo_t *info)
{
    if (thread == _PyPth_self
        && (thread->out
            || (thread == _PyPth_after && !_PyPth_IsBlocked(thread))))
    {
        // The caller: it would only be deferred again.
        add_pending(thread, signum, info);
        thread->deliver = 1;
    }
    else {
        (void)send_to(thread, signum, info);
    }
}

static void
send_put_aside(void)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_code = SI_TKILL;
    info.si_pid = getpid();
    info.si_uid = getuid();
    for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
        if (t->put_aside == 0) {
            continue;
        }
        uint64_t signals = _Py_atomic_exchange_uint64(&t->put_aside, 0);
        for (int signum = 1; signum <= SIGRTMAX; signum++) {
            if (signals & PTH_SIGNAL_BIT(signum)) {
                info.si_signo = signum;
                send_deferred(t, signum, &info);
            }
        }
    }
}

void
_PyPth_SendDeferred(void)
{
    _Py_atomic_store_int((int *)&_PyPth_deferred, 0);
    if (_Py_atomic_exchange_int(&some_put_aside, 0)) {
        send_put_aside();
    }
    for (int signum = 1; signum < _NSIG; signum++) {
        if (_Py_atomic_load_int(&deferred_state[signum]) != DEFERRED) {
            continue;
        }
        _PyPth_thread *thread = deferred[signum].target != 0
            ? _PyPth_FindThread((unsigned long)deferred[signum].target)
            : choose_thread(signum);
        siginfo_t info = deferred[signum].info;
        _Py_atomic_store_int(&deferred_state[signum], FREE);
        if (thread == NULL) {
            // It waits in the kernel.
            (void)_PyPth_Sys(SYS_rt_sigqueueinfo, getpid(), signum, &info);
        }
        else {
            send_deferred(thread, signum, &info);
        }
    }
}

/* A signal that comes when the main thread has dropped its GIL, but is not in
   its call yet, interrupts nothing.  On stock that is a matter of microseconds,
   but Pth may run others in between.  So the monitor looks whether one of
   Python's handlers waits for the main thread, which is in a call. */

// So often it is tried for a signal: the first time may be too early, and C code
// may want to go on in spite of it.
#define MOST_INTERRUPTS 3

// Is any of the signals one that the thread does not block?  Another one may
// have taken those that it does.
static int
lets_through_tripped(_PyPth_thread *thread)
{
    for (int signum = 1; signum < Py_NSIG; signum++) {
        if (_Py_atomic_load_int_relaxed(
                &_PyRuntime.signals.handlers[signum].tripped)
            && !_PyPth_Blocks(thread, signum))
        {
            return 1;
        }
    }
    return 0;
}

int
_PyPth_InterruptMain(void)
{
    static int tries = 0;
    if (!_Py_atomic_load_int_relaxed(&_PyRuntime.signals.is_tripped)) {
        tries = 0;
        return 0;
    }
    _PyPth_thread *thread =
        _PyPth_FindThread((unsigned long)_PyRuntime.main_thread);
    if (thread == NULL || !thread->nogil || !thread->in_call
        || tries >= MOST_INTERRUPTS || !lets_through_tripped(thread))
    {
        return 0;
    }
    if (thread->in_call == PTH_CALLS
        && (thread->out ? !thread->waiting : thread == _PyPth_after))
    {
        tries++;
        _PyPth_SendSignal(_PyPth_KernelOf(thread)->tid, _PyPth_INTERRUPT);
    }
    else if (!thread->out && _PyPth_IsBlocked(thread)
             && (thread->flags & _PyPth_INTERRUPTIBLE))
    {
        tries++;
        _PyPth_WakeThread(thread, _PyPth_INTR);
    }
    return 1;
}

void
_PyPth_CollectSignals(void)
{
    const sigset_t *shared = _PyPth_SharedMask();
    if (shared == NULL) {
        return;
    }
    // The monitor blocks all, so this tells all that wait for the process.
    uint64_t pending = 0, blocked;
    memcpy(&blocked, shared, sizeof(blocked));
    (void)_PyPth_Sys(SYS_rt_sigpending, &pending, sizeof(pending));
    pending &= ~blocked & ~PTH_SIGNAL_BIT(_PyPth_SIGNAL);
    siginfo_t info;
    struct timespec zero = {0, 0};
    while (pending != 0) {
        int signum = (int)_PyPth_Sys(SYS_rt_sigtimedwait, &pending, &info,
                                     &zero, sizeof(pending));
        if (signum <= 0) {
            break;
        }
        pending &= ~PTH_SIGNAL_BIT(signum);
        _PyPth_thread *thread = choose_thread(signum);
        if (thread != NULL) {
            (void)send_to(thread, signum, &info);
        }
    }
}

void
_PyPth_FlushSignals(void)
{
    _PyPth_thread *self = _PyPth_self;
    if (!_PyPth_InProgram() || (!_PyPth_deferred && !self->deliver)) {
        return;
    }
    _PyPth_Lock();
    _PyPth_SendDeferred();
    self->deliver = 0;
    _PyPth_Unlock();
    _PyPth_DeliverPending(self);
}

void
_PyPth_ForgetSignals(void)
{
    memset(deferred_state, 0, sizeof(deferred_state));
    ntold = 0;
    _PyPth_deferred = some_put_aside = 0;
    if (_PyPth_self != NULL) {
        // What is pending is the parent's alone (fork(2)).
        _PyPth_self->pending = _PyPth_self->put_aside = 0;
        _PyPth_self->waits_at_home = 0;
        _PyPth_self->deliver = 0;
    }
}
