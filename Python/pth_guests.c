// GNU Pth backend: guests.
//
// A thread that was left behind on another one's kernel thread is a guest there.  When
// that one's own thread wants it, which for the first one means its C code and signals,
// the guest is sent away by a signal: the handler lets its context go on on another
// kernel thread (pth_takeover.c), and sees that the system call that was interrupted is
// made again, for the rest of its time.

#include "pth_internal.h"
#include "pth_machine.h"
#include "pycore_runtime.h"       // _PyRuntime.main_thread

#include <fcntl.h>                // F_SETLKW
#include <linux/futex.h>
#include <sys/resource.h>         // RUSAGE_THREAD

// Kernel threads that another one's thread has come to: what it waits in is to be
// noted, see "Timed calls".
#define MAX_GUESTS 256
#define GUEST_LOOKS 4             // as long as it waits in something else
#define MAX_LOOKS 64              // between two times that it is asked
#define MAX_ASKED 16              // in a look: /proc takes some time

static _PyPth_thread *guests[MAX_GUESTS];
int _PyPth_new_guests = 0;

void
_PyPth_WatchGuest(_PyPth_thread *kernel)
{
    static unsigned int next = 0;
    if (kernel->sent_away == NULL) {
        // The handler reads it.
        kernel->waits_since = 0;
    }
    if (kernel->looks == 0) {
        _PyPth_thread **slot = &guests[next++ % MAX_GUESTS];
        if (*slot != NULL) {
            // Too many at once: it may wait for longer.
            (*slot)->looks = 0;
        }
        *slot = kernel;
    }
    kernel->looks = 1;
    _PyPth_new_guests = 1;
}


/* Timed calls */

// Some calls wait for so long, and not until then: made again after a signal,
// they would begin anew.  So a thread that is left in one, on a kernel thread
// that it may have to leave, is noted, and the rest of the time is asked for.
// select(2) and ppoll(2) write down what is left themselves.
//
// Whoever has not waited anew since it was seen to wait is in the same call, or comes
// from it.

// Which argument the time is, or -1: there is none.  And is it milliseconds, or a
// pointer to a timespec?
static int
timeout_arg(long number, const unsigned long *args, int *is_ms)
{
    *is_ms = 0;
    switch (number) {
    case SYS_nanosleep:
        return 0;
    case SYS_clock_nanosleep:
        return args[1] & TIMER_ABSTIME ? -1 : 2;
    case SYS_rt_sigtimedwait:
        return args[2] != 0 ? 2 : -1;
    case SYS_semtimedop:
        return args[3] != 0 ? 3 : -1;
    case SYS_futex:
        return (args[1] & FUTEX_CMD_MASK) == FUTEX_WAIT && args[3] != 0
               ? 3 : -1;
    }
    *is_ms = 1;
    switch (number) {
    case SYS_epoll_pwait:
        return (int)args[3] > 0 ? 3 : -1;
#ifdef SYS_poll
    // Not on newer machines.
    case SYS_poll:
        return (int)args[2] > 0 ? 2 : -1;
    case SYS_epoll_wait:
        return (int)args[3] > 0 ? 3 : -1;
#endif
    }
    return -1;
}

#define TIMED_ARGS 4

// The system call that a kernel thread waits in, and its first arguments.  If it
// waits in none, or for the lock of the backend, call->number is -1.
static void
read_call(const _PyPth_thread *kernel, _PyPth_call *call, unsigned long *args)
{
    char line[256];
    _PyPth_ReadTask(kernel->tid, "syscall", line, sizeof(line));
    // "NUMBER ARG*6 SP PC", see proc(5).
    unsigned long sp;
    if (sscanf(line, "%ld %lx %lx %lx %lx %*x %*x %lx %lx", &call->number,
               &args[0], &args[1], &args[2], &args[3], &sp, &call->pc) != 7
        || (call->number == SYS_futex && _PyPth_IsLockWait(args[0])))
    {
        call->number = -1;
        return;
    }
    call->arg = args[0];
}

// How often it has waited in the kernel, or 0: that does not tell.
static unsigned long
read_waits(const _PyPth_thread *kernel)
{
    uint64_t waits = 0;
    (void)_PyPth_ReadStatus(kernel->tid, "\nvoluntary_ctxt_switches:", 10, &waits);
    return (unsigned long)waits;
}

// The same, for the calling one.
static unsigned long
own_waits(void)
{
    struct rusage usage;
    return _PyPth_Sys(SYS_getrusage, RUSAGE_THREAD, &usage) == 0
           ? (unsigned long)usage.ru_nvcsw : 0;
}

// Note what a guest waits in, unless so many were `asked` already.  Return true if it
// is to be looked at again.
static int
note_guest(_PyPth_thread *kernel, int *asked)
{
    if (_Py_atomic_load_ptr_acquire(&kernel->sent_away) != NULL
        || *asked >= MAX_ASKED)
    {
        // Its handler reads this, or next time.
        return 1;
    }
    if (kernel->ended || !(kernel->busy || kernel == _PyPth_carrier)) {
        return 0;
    }
    if ((kernel->looks & (kernel->looks - 1)) != 0) {
        // The longer it runs, the less often it is asked.
        kernel->looks++;
        return 1;
    }
    ++*asked;
    unsigned long args[TIMED_ARGS];
    _PyPth_call call;
    int is_ms;
    read_call(kernel, &call, args);
    // In this order: the call may just have begun to wait.
    kernel->waits = read_waits(kernel);
    if (kernel->waits != 0 && timeout_arg(call.number, args, &is_ms) >= 0) {
        kernel->waits_since = _PyPth_Now();
        return 0;
    }
    if (call.number >= 0 && kernel->looks >= GUEST_LOOKS) {
        return 0;
    }
    // It may be about to make one.
    kernel->looks = Py_MIN(kernel->looks, MAX_LOOKS / 2) + 1;
    return 1;
}

void
_PyPth_NoteGuests(void)
{
    int asked = 0;
    _PyPth_new_guests = 0;
    for (int i = 0; i < MAX_GUESTS; i++) {
        if (guests[i] == NULL) {
            continue;
        }
        if (note_guest(guests[i], &asked)) {
            _PyPth_new_guests = 1;
        }
        else {
            guests[i]->looks = 0;
            guests[i] = NULL;
        }
    }
}

void
_PyPth_NoteCurrent(void)
{
    static _PyPth_thread *last = NULL;
    static unsigned long last_entries = 0;
    _PyPth_thread *thread = _PyPth_after;
    if (thread != _PyPth_carrier
        && (thread != last || _PyPth_entries != last_entries))
    {
        last = thread;
        last_entries = _PyPth_entries;
        _PyPth_WatchGuest(_PyPth_carrier);
    }
}

void
_PyPth_ForgetGuests(void)
{
    for (int i = 0; i < MAX_GUESTS; i++) {
        if (guests[i] != NULL) {
            guests[i]->looks = 0;
            guests[i] = NULL;
        }
    }
    _PyPth_new_guests = 0;
}

// In the signal handler, on `kernel`: the call, which is about to be made again,
// waits for the rest of the time.
static void
shorten_call(_PyPth_thread *self, ucontext_t *context,
             const _PyPth_thread *kernel)
{
    const _PyPth_call *call = &kernel->call;
    if (_PyPth_NextCall(context) != call->number) {
        return;
    }
    unsigned long args[TIMED_ARGS];
    for (int i = 0; i < TIMED_ARGS; i++) {
        args[i] = *_PyPth_CallArg(context, i);
    }
    int is_ms;
    int i = timeout_arg(call->number, args, &is_ms);
    if (i < 0) {
        return;
    }
    // The kernel has told the rest already (nanosleep(2)).
    int sleeps = (call->number == SYS_nanosleep
                  || call->number == SYS_clock_nanosleep);
    if (sleeps && args[i + 1] != 0) {
        *_PyPth_CallArg(context, i) = args[i + 1];
        return;
    }
    if (kernel->waits_since == 0 || kernel->sent_away != self) {
        return;
    }
    PyTime_t left = is_ms
                    ? (int)args[i] * (PyTime_t)1000000
                    : _PyPth_FromTimespec((const struct timespec *)args[i]);
    left -= _PyPth_Now() - kernel->waits_since;
    if (left < 10000000 && own_waits() != kernel->waits) {
        // That one has ended just now, and this is the next.
        return;
    }
    left = Py_MAX(left, 0);
    if (is_ms) {
        *_PyPth_CallArg(context, i) = (unsigned long)((left + 999999) / 1000000);
        return;
    }
    _PyTime_AsTimespec_clamp(left, &self->left);
    *_PyPth_CallArg(context, i) = (unsigned long)&self->left;
    if (sleeps) {
        *_PyPth_CallArg(context, i + 1) = (unsigned long)&self->left;
    }
}


/* Guests leave */

// Who runs on this kernel thread is to go on on another one.  The kernel
// restarts most calls after the signal (SA_RESTART).  Some it never does
// (signal(7), "Interruption of system calls"): what those are is noted, and the
// handler has them made again.  Who is in none may be about to make one, unless
// it `computes`, and is looked at again so many times.
#define SPARED 2
void
_PyPth_SendAway(_PyPth_thread *kernel, int computes)
{
    if (kernel->sent_away != NULL) {
        // It has not come yet.
        return;
    }
    unsigned long args[TIMED_ARGS];
    read_call(kernel, &kernel->call, args);
    if (kernel->call.number < 0 && !computes && kernel->spared < SPARED) {
        kernel->spared++;
        return;
    }
    if (kernel->waits_since != 0 && read_waits(kernel) != kernel->waits) {
        kernel->waits_since = 0;
    }
    kernel->sent_away = kernel->busy == 1 ? kernel->lends_tp : _PyPth_after;
    _PyPth_SendSignal(kernel->tid, kernel);
}

void
_PyPth_FreeWanted(void)
{
    for (_PyPth_thread *t = _PyPth_threads; _PyPth_nwanting > 0 && t != NULL;
         t = t->all_next)
    {
        if (t->wants_own && t->busy == 1) {
            _PyPth_SendAway(t, 0);
        }
    }
}

// Has this handler, which is for no alternate stack, interrupted one that is on
// the kernel thread's?  The kernel does not say so in ss_flags (Linux,
// kernel/signal.c, __save_altstack(), since 4.7).
static inline int
on_altstack(const ucontext_t *context)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return here - (uintptr_t)context->uc_stack.ss_sp
           < context->uc_stack.ss_size;
}

// In the signal handler, on `kernel`: unless it is needed no more, the thread
// that is on it goes on on another one, and returns from the handler there.
void
_PyPth_Expelled(_PyPth_thread *kernel, ucontext_t *context)
{
    _PyPth_thread *self = _PyPth_self;
    if (_PyPth_RestartCall(context, &kernel->call) && self != NULL) {
        shorten_call(self, context, kernel);
    }
    kernel->waits_since = 0;
    _Py_atomic_store_ptr_release(&kernel->sent_away, NULL);
    if (self == NULL || self == kernel || on_altstack(context)) {
        // It comes again, see pth_monitor.c.  A stack that the kernel thread
        // has for handlers can't be given to another one while it is in use
        // (sigaltstack(2), EPERM).
        return;
    }
    if (_PyPth_inside) {
        // Who comes in all the time would be inside again and again: the
        // monitor, which has sent this, had the lock that it waits for.
        _PyPth_Postpone();
        return;
    }
    // The thread may be inside of malloc(), for which whoever has the backend
    // locked may have to wait: so this must not wait for that, neither here nor
    // when it goes on on the other kernel thread.
    _PyPth_inside = 1;
    if (!_PyPth_LockSoon(1000)) {
        _PyPth_inside = 0;
        return;
    }
    // A handler that this one interrupted blocks its own signal, which whoever
    // runs here next does not.  The kernel's mask is shorter than the type.
    uint64_t mask;
    memcpy(&mask, &context->uc_sigmask, sizeof(mask));
    if (_PyPth_LeaveKernel(self, kernel, mask)) {
        _PyPth_KeepAltstack(context);
    }
}

int _PyPth_npostponed = 0;

void
_PyPth_Postpone(void)
{
    _PyPth_thread *self = _PyPth_self;
    if (self != NULL && !self->postponed) {
        self->postponed = 1;
        self->postponed_nogil = self->nogil;
        (void)_Py_atomic_add_int(&_PyPth_npostponed, 1);
    }
}

void __attribute__((noinline))
_PyPth_DoPostponed(void)
{
    _PyPth_thread *self = _PyPth_self;
    if (self == NULL || !self->postponed) {
        return;
    }
    int err = errno;
    self->postponed = 0;
    (void)_Py_atomic_add_int(&_PyPth_npostponed, -1);
    _PyPth_thread *kernel = _PyPth_KernelOf(self);
    if (kernel != self && (kernel == _PyPth_first || kernel->wants_own)) {
        // The handler does it, at once.
        _PyPth_SendSignal(kernel->tid, kernel);
    }
    // A handler that blocks must not find it with a GIL that it has got only since:
    // then whoever looks next sends the signal.
    if (self->nogil || !self->postponed_nogil) {
        _PyPth_FlushSignals();
    }
    errno = err;
}

// May a call fail with EINTR, and has then done nothing (signal(7))?
static int
is_interruptible(long number, unsigned long arg)
{
    switch (number) {
    case SYS_read: case SYS_readv: case SYS_write: case SYS_writev:
    case SYS_recvfrom: case SYS_recvmsg: case SYS_recvmmsg:
    case SYS_sendto: case SYS_sendmsg: case SYS_sendmmsg:
    case SYS_accept: case SYS_accept4:
    case SYS_openat: case SYS_flock:
    case SYS_ppoll: case SYS_pselect6: case SYS_epoll_pwait:
    case SYS_nanosleep: case SYS_clock_nanosleep:
    case SYS_wait4: case SYS_waitid:
    case SYS_semop: case SYS_semtimedop: case SYS_msgrcv: case SYS_msgsnd:
    case SYS_mq_timedreceive: case SYS_mq_timedsend:
    case SYS_rt_sigtimedwait: case SYS_rt_sigsuspend:
#ifdef SYS_poll
    // Not on newer machines.
    case SYS_open: case SYS_poll: case SYS_select: case SYS_epoll_wait:
    case SYS_pause:
#endif
        return 1;
    case SYS_fcntl:
        return arg == F_SETLKW;
    case SYS_futex:
        switch (arg & FUTEX_CMD_MASK) {
        case FUTEX_WAIT: case FUTEX_WAIT_BITSET:
            return 1;
        }
    }
    return 0;
}

// The same for the main thread's call, which a signal came too early for.
void
_PyPth_EndCall(ucontext_t *context)
{
    if (_PyPth_self != NULL && !_PyPth_inside && _PyPth_self->nogil
        && _PyPth_self->pthread == (pthread_t)_PyRuntime.main_thread)
    {
        long number = _PyPth_NextCall(context);
        if (is_interruptible(number, *_PyPth_CallArg(context, 1))) {
            _PyPth_InterruptCall(context);
        }
    }
}
