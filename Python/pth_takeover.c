// GNU Pth backend: kernel threads.
//
// Each Python thread has a kernel thread of its own, which pthread_create()
// has made.  A thread is either
//
//   in   Pth schedules it.  When it runs, it runs on the carrier, which is
//        some thread's kernel thread, on its own stack and with its own thread
//        pointer.  Its own kernel thread, unless that is the carrier, is
//        parked in _PyPth_Park().  Or
//   out  it runs by itself, on its own kernel thread or on the one that it was
//        left behind on.
//
// A thread starts out, and comes in when it has to wait, for the first time
// for its turn.  It goes out
//
//   - when the monitor finds it in C code for longer than a tick while others
//     could run: another kernel thread becomes the carrier, and it goes on
//     where it is (_PyPth_TakeOver());
//   - when another one that is out wakes somebody, or has to come in itself,
//     while it is in C code without its GIL (_PyPth_TakeFromCall());
//   - at once, where its last calls without the GIL took long, or when it
//     waits for a child (_PyPth_MakeRoom());
//   - at its end: what the C library keeps for a thread goes away on the
//     thread's own kernel thread (_PyPth_GoHome()).
//
// While a thread that Pth has seen is out, a stub stands for it there: a few
// calls on a small stack that wait in pth_cond_await() in its place, and jump
// to its registers when it is in again and its turn has come.  A new thread
// begins in Pth with such a stub.
//
// The thread that started the process, _PyPth_first, runs on its own kernel
// thread only.  Another one that is on it is sent away by a signal when that
// is needed: the handler lets its context go on on another kernel thread.  The
// same is done for a thread that ends while another one is on its own.

#include "pth_internal.h"
#include "pth_machine.h"
#include "pycore_runtime.h"       // _PyRuntime.main_thread

#include <fcntl.h>                // O_RDONLY
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>         // RUSAGE_THREAD
#include <ucontext.h>
#include <unistd.h>
#ifdef _Py_ADDRESS_SANITIZER
#  include <sanitizer/asan_interface.h>
#endif

_Py_thread_local _PyPth_thread *_PyPth_self;
_Py_thread_local char _PyPth_inside;
_Py_thread_local char *_PyPth_handler;
_Py_thread_local char _PyPth_vforked;

_PyPth_thread *_PyPth_lock = &_PyPth_main;
_PyPth_thread *_PyPth_after = &_PyPth_main;
_PyPth_thread *_PyPth_current = &_PyPth_main;
_PyPth_thread *_PyPth_carrier = &_PyPth_main;
_PyPth_thread *_PyPth_first = &_PyPth_main;
unsigned long _PyPth_entries = 0;

int _PyPth_lends = 0;


/* The lock */

// Lock it unless somebody else has.  Return true if it is locked.
static inline int
lock_at_once(void)
{
    _PyPth_thread *held = _Py_atomic_load_ptr_relaxed(&_PyPth_lock);
    if (held != _PyPth_BUSY
        && _Py_atomic_compare_exchange_ptr(&_PyPth_lock, &held, _PyPth_BUSY))
    {
        _PyPth_after = held;
        return 1;
    }
    return 0;
}

// Lock it unless that takes more than so many tries.  The same.
static inline int
lock_soon(int tries)
{
    for (; tries > 0; tries--) {
        if (lock_at_once()) {
            return 1;
        }
        _PyPth_Pause();
    }
    return 0;
}

// Who finds it locked for longer sleeps, and these are woken one at a time.
// Thousands that look again and again, as when as many threads end at once, would
// leave no time to the one that has it.
#define MAX_YIELDING 4

int _PyPth_lock_sleepers = 0;
static int lock_waiters = 0;      // these, and those that will sleep
static _PyPth_kernel bell;        // its `go` is what they wait for
static int lock_woken = 0;        // one was woken, and has not looked yet
// Who locks it again at once, and has it locked for most of the time, leaves it to
// nobody else: neither to one that was woken, nor to one that looks when the kernel
// has just taken the processor from the first.  So who has waited for longer than
// this says so, and whoever unlocks it waits for that, but not forever (as Go's
// sync.Mutex does, src/internal/sync/mutex.go).
#define STARVES_NS 1000000
#define LEAVES_NS 10000000
static int lock_starves = 0;      // a futex: somebody does

static void
wake_sleeper(void)
{
    if (!_Py_atomic_exchange_int(&lock_woken, 1)) {
        _PyPth_WakeKernel(&bell);
    }
}

void __attribute__((noinline))
_PyPth_WakeForLock(void)
{
    wake_sleeper();
    if (_Py_atomic_load_int_relaxed(&lock_starves)) {
        struct timespec timeout = {0, LEAVES_NS};
        (void)_PyPth_Futex(&lock_starves, FUTEX_WAIT_PRIVATE, 1, &timeout);
    }
}

void
_PyPth_ForgetSleepers(void)
{
    _PyPth_lock_sleepers = lock_waiters = lock_woken = lock_starves = 0;
}

// Sleep until somebody unlocks it, for the first time or again.  Return true if it
// is locked after all.
static int
sleep_for_lock(int again)
{
    int sleepers = _Py_atomic_load_int_relaxed(&_PyPth_lock_sleepers);
    // In this order: whoever unlocks it from now on sets both.
    _Py_atomic_store_int(&lock_woken, 0);
    _Py_atomic_store_int(&bell.go, 0);
    _Py_atomic_fence_seq_cst();
    if (lock_at_once()) {
        return 1;
    }
    // Who unlocks it may have looked for sleepers just before, so the first time
    // is short.  After that none is missed, but the kernel may have taken the
    // processor from who has it, for as long as it likes.
    struct timespec timeout = {0, 50000 * Py_MIN(sleepers, 10000)};
    if (again) {
        timeout.tv_nsec = LEAVES_NS * Py_MIN(sleepers, 99);
    }
    (void)_PyPth_Futex(&bell.go, FUTEX_WAIT_PRIVATE, 0, &timeout);
    _Py_atomic_store_int(&lock_woken, 0);
    return 0;
}

void __attribute__((noinline))
_PyPth_LockSlowly(void)
{
    if (lock_soon(100)) {
        return;
    }
    // Who has it may wait for this processor.  But a real-time thread yields to
    // its like only (sched(7)).
    int waiters = _Py_atomic_add_int(&lock_waiters, 1);
    int yields = waiters < MAX_YIELDING ? 900 : 1;
    int starves = 0, sleeps = 0;
    PyTime_t since = _PyPth_Now();
    while (!lock_at_once()) {
        if (_PyPth_Now() - since > STARVES_NS) {
            starves = 1;
            yields = 0;
            _Py_atomic_store_int(&lock_starves, 1);
        }
        if (yields > 0) {
            yields--;
            (void)_PyPth_Sys(SYS_sched_yield);
        }
        else {
            if (sleeps == 0) {
                (void)_Py_atomic_add_int(&_PyPth_lock_sleepers, 1);
            }
            if (sleep_for_lock(sleeps++)) {
                break;
            }
        }
    }
    if (sleeps > 0) {
        (void)_Py_atomic_add_int(&_PyPth_lock_sleepers, -1);
    }
    (void)_Py_atomic_add_int(&lock_waiters, -1);
    if (starves) {
        _Py_atomic_store_int(&lock_starves, 0);
        (void)_PyPth_Futex(&lock_starves, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
    }
}

// Park the kernel thread, and unlock the backend as soon as the stack is free.  If
// there is a `wake`, that one has to see that who sleeps for the lock is woken.
static void
park_unlocked(void **save, _PyPth_kernel *k, _PyPth_kernel *wake)
{
    if (wake == NULL && _Py_atomic_load_int_relaxed(&_PyPth_lock_sleepers) > 0) {
        wake = &bell;
    }
    _PyPth_Park(save, k, wake, &_PyPth_lock, _PyPth_after);
}

// Lock the backend unless somebody else has it for longer.  Return true if it
// is locked.
static int
try_lock(void)
{
    _PyPth_inside = 1;
    if (lock_soon(1000)) {
        return 1;
    }
    _PyPth_inside = 0;
    return 0;
}


/* Kernel threads */

long
_PyPth_Futex(int *word, int op, int value, const struct timespec *timeout)
{
    int err = errno;
    long result = _PyPth_Sys(SYS_futex, word, op, value, timeout, NULL, 0);
    if (result < 0) {
        result = -errno;
        errno = err;
    }
    return result;
}

void
_PyPth_WakeKernel(_PyPth_kernel *k)
{
    _Py_atomic_store_int_release(&k->go, 1);
    (void)_PyPth_Futex(&k->go, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void
_PyPth_ReadProc(const char *name, char *buf, size_t size)
{
    ssize_t n = 0;
    int fd = (int)_PyPth_Sys(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = _PyPth_Sys(SYS_read, fd, buf, size - 1);
        (void)_PyPth_Sys(SYS_close, fd);
    }
    buf[n > 0 ? n : 0] = '\0';
}

void
_PyPth_ReadTask(pid_t tid, const char *what, char *buf, size_t size)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/self/task/%d/%s", (int)tid,
                   what);
    _PyPth_ReadProc(name, buf, size);
}

int
_PyPth_ReadStatus(pid_t tid, const char *field, int base, uint64_t *value)
{
    char status[4096];
    _PyPth_ReadTask(tid, "status", status, sizeof(status));
    const char *line = strstr(status, field);
    if (line == NULL) {
        return -1;
    }
    *value = strtoull(line + strlen(field), NULL, base);
    return 0;
}

uint64_t
_PyPth_ReadTicks(void)
{
    return _PyPth_Ticks();
}

// Restartable sequences (rseq(2)): the kernel writes to the area of the thread
// that a kernel thread began with, whichever it runs.  So there are none: the C
// library, and allocators, then ask for the processor in other ways.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

void
_PyPth_LeaveRseq(void)
{
#ifdef SYS_rseq
    if (&__rseq_size != NULL && __rseq_size != 0) {
        int err = errno;
        char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
        // 1: RSEQ_FLAG_UNREGISTER.  32: what the C library has registered, or
        // what the kernel knows if that is more.
        if (_PyPth_Sys(SYS_rseq, area, 32, 1, RSEQ_SIGNATURE) != 0) {
            (void)_PyPth_Sys(SYS_rseq, area, __rseq_size, 1, RSEQ_SIGNATURE);
        }
        errno = err;
    }
#endif
}

// Whoever had it, or whose it had, is the parent's in the child of a fork.
static void
take_own_tp(_PyPth_thread *thread)
{
    thread->k.tp = thread->tp;
    thread->lends_tp = thread->tp_with = thread;
}

// The calling kernel thread is that of the record from now on.  The one before was the
// parent's in the child of a fork: told to carry, say, or sent away.
static void
take_new_kernel(_PyPth_thread *self)
{
    take_own_tp(self);
    self->tid = (pid_t)_PyPth_Sys(SYS_gettid);
    self->k.go = 0;
    self->sent_away = NULL;
    self->counts_for = self;
    self->given = 0;
    self->owes = 0;
}

void
_PyPth_InitKernel(_PyPth_thread *self)
{
    self->tp = __builtin_thread_pointer();
    take_new_kernel(self);
    self->pthread = pthread_self();
    self->timer = -1;
    self->kmask = self->sigmask = _PyPth_GetSignalMask();
    self->has_altstack = 0;
    self->alt_owner = NULL;
    self->ran = self;
    _PyPth_self = self;
}

void
_PyPth_SetKernelMask(_PyPth_thread *kernel, uint64_t mask)
{
    if (kernel->kmask != mask) {
        kernel->kmask = mask;
        (void)_PyPth_Sys(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL,
                         sizeof(mask));
    }
}

// Where Go may have changed it: what it is for the thread that has run there.
static void
ask_for_altstack(_PyPth_thread *kernel)
{
    _PyPth_thread *thread = kernel->ran;
    stack_t now;
    if (_PyPth_sys_sigaltstack(NULL, &now) == 0) {
        now.ss_flags &= ~SS_ONSTACK;
        thread->has_altstack = !(now.ss_flags & SS_DISABLE);
        thread->altstack = now;
        kernel->alt_owner = thread->has_altstack ? thread : NULL;
    }
}

void
_PyPth_SetAltstack(_PyPth_thread *kernel, _PyPth_thread *thread)
{
    if (_PyPth_has_go && kernel->ran != NULL) {
        ask_for_altstack(kernel);
    }
    kernel->ran = thread;
    // Where the thread has none, that of the kernel thread's own stays: it
    // costs no call then to run others in between.  But Go would take it for the
    // thread's.
    _PyPth_thread *owner = NULL;
    if (thread != NULL && thread->has_altstack) {
        owner = thread;
    }
    else if (kernel->has_altstack && !_PyPth_has_go) {
        owner = kernel;
    }
    stack_t none = {.ss_flags = SS_DISABLE};
    if (kernel->alt_owner != owner
        && _PyPth_sys_sigaltstack(owner != NULL ? &owner->altstack : &none,
                                  NULL) == 0)
    {
        kernel->alt_owner = owner;
    }
}

void
_PyPth_KeepAltstack(ucontext_t *context)
{
    // It takes no notice of one that is not valid (Linux, kernel/signal.c,
    // restore_altstack()).  SS_AUTODISARM: the kernel thread has none meanwhile.
    if (!((unsigned int)context->uc_stack.ss_flags & (1U << 31))) {
        context->uc_stack.ss_flags = SS_ONSTACK | SS_DISABLE;
    }
}

// Who has run on it is about to leave it.
static void
leave_altstack(_PyPth_thread *kernel)
{
    // Its own thread may be using its one elsewhere, but for the first.
    _PyPth_SetAltstack(kernel, kernel == _PyPth_first ? kernel : NULL);
    kernel->ran = NULL;
}

// The kernel thread of the caller is about to be parked.  The first one goes
// on to take the signals of the process for its thread.  The others take none
// but PTH_SIGSETXID.
static void
quiet_kernel(_PyPth_thread *kernel)
{
    if (kernel == _PyPth_first) {
        _PyPth_SetKernelMask(kernel, kernel->sigmask);
    }
    else {
        _PyPth_SetKernelMask(kernel, ~PTH_SIGNAL_BIT(PTH_SIGSETXID));
    }
    leave_altstack(kernel);
}

// The calling thread has come to the kernel thread `on`, which was parked.
static void
at_home(_PyPth_thread *self, _PyPth_thread *on)
{
    // In this order: what the mask lets through may come at once.
    _PyPth_SetAltstack(on, self);
    _PyPth_SetKernelMask(on, self->sigmask);
}


/* Memory, stacks for stubs, and those to park on */

void *
_PyPth_Map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

#define STUB_SIZE ((size_t)64 << 10)

typedef struct stub_stack {
    struct stub_stack *next;
} stub_stack;

static stub_stack *stubs;

// At the top of it, which is never unmapped: Pth looks at the lowest word of a
// stack as long as the thread lives that has begun there.
static inline stub_stack *
link_of(char *stack)
{
    return (stub_stack *)(stack + STUB_SIZE) - 1;
}

static char *
new_stub(void)
{
    if (stubs != NULL) {
        char *stack = (char *)(stubs + 1) - STUB_SIZE;
        stubs = stubs->next;
        return stack;
    }
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *base = mmap(NULL, STUB_SIZE + guard, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    (void)mprotect(base, guard, PROT_NONE);
    return base + guard;
}

void
_PyPth_FreeStub(char *stack)
{
    stub_stack *link = link_of(stack);
    link->next = stubs;
    stubs = link;
}

char *
_PyPth_NewStub(size_t *size)
{
    *size = STUB_SIZE - 64;       // but the link
    return new_stub();
}

// A kernel thread's stack while it is parked.  Nothing is written there but the
// frame of a signal handler, so it takes no memory.
#define PARKS 64

void *
_PyPth_NewPark(void)
{
    static char *parks;
    static int left = 0;
    size_t room = ((size_t)sysconf(_SC_MINSIGSTKSZ) + 2048 + 15)
                  & ~(size_t)15;
    if (left == 0) {
        char *base = mmap(NULL, PARKS * room, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
                          | MAP_STACK, -1, 0);
        if (base == MAP_FAILED) {
            return NULL;
        }
        parks = base;
        left = PARKS;
    }
    left--;
    parks += room;
    return parks;
}

static void run_stub(void);

static void *
stub_context(char *stack)
{
#ifdef _Py_ADDRESS_SANITIZER
    // Who was on it before has left it without a return from its functions.
    __asan_unpoison_memory_region(stack, STUB_SIZE);
#endif
    return _PyPth_Frame(stack + STUB_SIZE - 64, run_stub);
}


/* Who carries */

// The context of a carrier that nobody was there for.
static void *vacant;

// One kernel thread is nobody's.  Each thread that is out takes one, and the
// carrier is one: without it there would be none left for a thread that has to
// leave another one's while all others are out, too.
static _PyPth_thread spare;
static char has_spare = 0;

int
_PyPth_InitTakeover(void)
{
    _PyPth_InitMachine();
    _PyPth_AddRecord(&spare);
    if (_PyPth_self == _PyPth_first) {
        _PyPth_LeaveRseq();
    }
    _PyPth_lends = !_PyPth_HasShadowStack();
    return 0;
}

// setuid() and its kin: the C library has each kernel thread make the system
// call, by a signal that it knows by its thread pointer (nptl/nptl_setxid.c).
// The handler therefore runs with the kernel thread's own one.

// sigaction() of the C library refuses this number.
static struct {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
} setxid_action;
static void (*setxid_handler)(int, siginfo_t *, void *);
static char setxid_wrapped = 0;

static void
handle_setxid(int signum, siginfo_t *info, void *context)
{
    void *tp = __builtin_thread_pointer(), *own = tp;
    pid_t tid = (pid_t)_PyPth_Sys(SYS_gettid);
    for (_PyPth_thread *t = _Py_atomic_load_ptr(&_PyPth_records);
         t != NULL; t = t->record_next)
    {
        if (t->tid == tid) {
            own = t->tp;
            break;
        }
    }
    _PyPth_SetThreadPointer(own);
    setxid_handler(signum, info, context);
    _PyPth_SetThreadPointer(tp);
}

// The C library sets its handler when it creates the first thread.
static void
wrap_setxid(void)
{
    if (setxid_wrapped) {
        return;
    }
    setxid_wrapped = 1;
    if (_PyPth_Sys(SYS_rt_sigaction, PTH_SIGSETXID, NULL, &setxid_action,
                   8) == 0
        && (setxid_action.flags & SA_SIGINFO))
    {
        setxid_handler = setxid_action.handler;
        setxid_action.handler = handle_setxid;
        (void)_PyPth_Sys(SYS_rt_sigaction, PTH_SIGSETXID, &setxid_action,
                         NULL, 8);
    }
}

char _PyPth_all_alone = 0;

void
_PyPth_GoAlone(_PyPth_thread *self)
{
    _PyPth_GoHome(self);
    self->alone = 1;
    self->pooled = 0;
}

static inline int
is_on_own(_PyPth_thread *self)
{
    return _PyPth_IsCurrent() && _PyPth_carrier == self;
}

void
_PyPth_ToOwnKernel(int stay)
{
    _PyPth_thread *self = _PyPth_self;
    if (!_PyPth_InProgram() || self->alone) {
        return;
    }
    _PyPth_Lock();
    // All that is started later inherits what the only kernel thread has.
    if (stay && (self != _PyPth_first || has_spare)) {
        _PyPth_GoAlone(self);
    }
    else if (!is_on_own(self)) {
        _PyPth_GoHome(self);
    }
    _PyPth_Unlock();
}


static void *
run_spare(void *Py_UNUSED(arg))
{
    static char park[16 * 1024];
    static void *scrap;
    strcpy(spare.name, "pth-spare");
    (void)_PyPth_Sys(SYS_prctl, PR_SET_NAME, spare.name, 0, 0, 0);
    _PyPth_LeaveRseq();
    _PyPth_InitKernel(&spare);
    spare.k.park_sp = (void *)((uintptr_t)(park + sizeof(park))
                               & ~(uintptr_t)15);
    _PyPth_Lock();
    spare.sigmask = _PyPth_first->sigmask;
    spare.place = PTH_AWAITING;
    quiet_kernel(&spare);
    park_unlocked(&scrap, &spare.k, NULL);
    Py_UNREACHABLE();
}

int
_PyPth_StartSpare(void)
{
    if (!has_spare) {
        if (_PyPth_StartKernel(run_spare) < 0) {
            return -1;
        }
        has_spare = 1;
        wrap_setxid();
    }
    return 0;
}

void
_PyPth_SetSpareMask(uint64_t mask)
{
    spare.sigmask = mask;
}

// Is it parked, and needed by nobody?
static inline int
can_carry(_PyPth_thread *thread)
{
    return !thread->busy && !thread->ended && thread != _PyPth_carrier
           && thread->place != PTH_NONE;
}

// One that is, but not the first, which had to be freed when its thread wants it.
// NULL: there is none.
static _PyPth_thread *
other_kernel(void)
{
    for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
        if (can_carry(t) && t != _PyPth_first) {
            return t;
        }
    }
    return can_carry(&spare) ? &spare : NULL;
}

static _PyPth_thread *
next_carrier(void)
{
    _PyPth_thread *woken = _PyPth_FirstWoken();
    if (woken != NULL && can_carry(woken)) {
        return woken;
    }
    _PyPth_thread *other = other_kernel();
    return other != NULL ? other
           : can_carry(_PyPth_first) ? _PyPth_first : NULL;
}

#ifndef NDEBUG
// The table of states in docs/design.md.
void
_PyPth_CheckState(_PyPth_thread *thread)
{
    _PyPth_thread *kernel = _PyPth_KernelOf(thread);
    assert(_PyPth_inside);
    if (thread->out) {
        // It has a kernel thread for itself, which uses its thread pointer.
        assert(kernel != NULL);
        assert(kernel->busy == 1);
        assert(kernel->lends_tp == thread);
        // A stub stands for it where Pth knows it.
        assert((thread->stub != NULL) == (thread->place != PTH_NONE));
        assert(thread != _PyPth_first || kernel == thread);
    }
    else {
        assert(thread->on == NULL);
        assert(thread->place != PTH_NONE);
        assert(!thread->ended);
    }
    // It is known to Pth, and woken, at most once.
    assert(!thread->in_woken
           || thread->place == PTH_NEW || thread->place == PTH_AWAITING);
    assert(!thread->counted || thread->place == PTH_READY);
    assert(!thread->urgent || thread->place == PTH_READY);
    // What it waits for ends with the wait.
    assert((thread->queue == NULL && thread->timer < 0)
           || (thread->waiting && thread->result == 0));
    assert(!thread->ended || thread->on == thread);
    // A thread pointer is used by one kernel thread.
    assert(kernel->k.tp == kernel->lends_tp->tp);
    assert(kernel->lends_tp->tp_with == kernel);
    // It is the first one's own where that is parked, and takes signals.
    assert(_PyPth_first->busy || _PyPth_carrier == _PyPth_first
           || _PyPth_first->tp_with == _PyPth_first);
    // One that is parked uses no processor.
    assert(thread->busy == 1 || thread == _PyPth_carrier
           || thread->counts_for == thread);
    // The carrier runs nobody who is out.
    assert(_PyPth_after == _PyPth_VACANT || _PyPth_carrier->busy != 1);
}
#endif

// Thread pointers.  A kernel thread that is parked, or runs a stub, needs one
// that nobody else uses: that of a thread that is in.  When a thread goes out
// on another one's kernel thread, the two exchange theirs: then the kernel
// thread that is free has not that of the one that runs.
static void
give_tp(_PyPth_thread *kernel, _PyPth_thread *thread)
{
    _PyPth_thread *other = thread->tp_with;
    if (other == kernel) {
        return;
    }
    _PyPth_thread *lender = kernel->lends_tp;
    other->lends_tp = lender;
    other->k.tp = lender->tp;
    lender->tp_with = other;
    kernel->lends_tp = thread;
    kernel->k.tp = thread->tp;
    thread->tp_with = kernel;
}

// A stub is about to run on the kernel thread.  As soon as the first one is parked, and
// takes signals, it needs its own thread's, with nobody else using that: so it is lent
// to one that is parked.
static void
keep_first_tp(_PyPth_thread *kernel)
{
    if (_PyPth_first->tp_with == kernel && kernel != _PyPth_first) {
        _PyPth_thread *other = other_kernel();
        if (other != NULL) {
            give_tp(other, _PyPth_first);
        }
    }
}

// Kernel threads that another one's thread has come to: what it waits in is to be
// noted, see "Timed calls".
#define MAX_GUESTS 256
#define GUEST_LOOKS 4             // as long as it waits in something else
#define MAX_LOOKS 64              // between two times that it is asked
#define MAX_ASKED 16              // in a look: /proc takes some time

static _PyPth_thread *guests[MAX_GUESTS];
int _PyPth_new_guests = 0;

static void
watch_guest(_PyPth_thread *kernel)
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

// From now on the kernel thread uses its processor time for `thread`.
static inline void
count_for(_PyPth_thread *kernel, _PyPth_thread *thread)
{
    if (kernel->counts_for != thread) {
        _PyPth_Count(kernel, thread);
    }
    else if (thread == kernel) {
        kernel->owes = 1;
    }
}

// A thread that is out runs on `on`.
static void
set_on(_PyPth_thread *thread, _PyPth_thread *on)
{
    thread->on = on;
    on->busy = 1;
    give_tp(on, thread);
    count_for(on, thread);
    if (on != thread) {
        watch_guest(on);
        _PyPth_TellMonitor();
    }
}

// It does so no more: the kernel thread is about to be parked.
static void
set_off(_PyPth_thread *kernel)
{
    kernel->busy = 0;
    count_for(kernel, kernel);
    if (kernel == _PyPth_first) {
        // It takes signals, for its own thread.
        give_tp(kernel, kernel);
    }
    if (kernel->wants_own) {
        _PyPth_MakeReady(kernel);
    }
}

// The current thread is out now, on the kernel thread `on`: in Pth, a stub
// stands for it.
static void
set_out(_PyPth_thread *thread, _PyPth_thread *on, char *stub)
{
    thread->out = 1;
    set_on(thread, on);
    assert(thread->stub == NULL);
    thread->stub = stub;
    _PyPth_MaskStale();
}

// The carrier was woken, and has not come yet.
static char on_its_way = 0;

// The kernel thread of `next` carries from now on: it is on its way, and begins with
// the stub of the current thread.  The backend is not locked any more: on a busy
// machine it takes its time, for which others would have to wait.
static void
hand_over(_PyPth_thread *next)
{
    _PyPth_carrier = next;
    keep_first_tp(next);
    _PyPth_CheckState(_PyPth_current);
    next->k.sp = stub_context(_PyPth_current->stub);
    on_its_way = 1;
    _PyPth_WakeKernel(&next->k);
    _PyPth_UnlockAs(_PyPth_IDLE);
}

// The kernel thread of the caller carries, and was on its way, or idle.
static void
arrive(void)
{
    _PyPth_LockSlowly();
    assert(_PyPth_after == _PyPth_IDLE);
    _PyPth_after = _PyPth_current;
    on_its_way = 0;
    // Who has woken somebody meanwhile has left that to the carrier.
    _PyPth_TellMonitor();
}

// What a stub does, with the thread pointer of the carrier.
static void
run_stub(void)
{
    if (on_its_way) {
        arrive();
    }
    _PyPth_thread *thread = _PyPth_current;
    // It may have come here by way of `vacant`.
    _PyPth_after = thread;
    _PyPth_SetKernelMask(_PyPth_carrier, thread->sigmask);
    _PyPth_Block(thread);
    _PyPth_RunOn(thread);
}

// The first kernel thread becomes the carrier, and the caller's is parked.
// It goes on with _PyPth_first->k.sp, which `save` may be, and has to arrive().
static void __attribute__((noinline))
move_to_first(void **save)
{
    _PyPth_thread *old = _PyPth_carrier;
    _PyPth_carrier = _PyPth_first;
    count_for(old, old);
    quiet_kernel(old);
    on_its_way = 1;
    _PyPth_after = _PyPth_IDLE;
    park_unlocked(save, &old->k, &_PyPth_first->k);
}

void __attribute__((noinline))
_PyPth_Arrived(_PyPth_thread *self)
{
    if (self->stub != NULL || self->wants_own) {
        // Its stub, or it has to wait for more.
        _PyPth_SetThreadPointer(_PyPth_carrier->k.tp);
        return;
    }
    if (self == _PyPth_first && _PyPth_carrier != self) {
        if (self->busy) {
            _PyPth_SetThreadPointer(_PyPth_carrier->k.tp);
            _PyPth_BlockForOwn(self);
        }
        if (_PyPth_carrier != self) {
            move_to_first(&self->k.sp);
            arrive();
        }
    }
    _PyPth_SetThreadPointer(self->tp);
    if (self->has_altstack || _PyPth_carrier->alt_owner != NULL
        || _PyPth_has_go)
    {
        _PyPth_SetAltstack(_PyPth_carrier, self);
    }
    else {
        _PyPth_carrier->ran = self;
    }
    _PyPth_SetKernelMask(_PyPth_carrier, self->sigmask);
    _PyPth_CountForNext(self);
    if (self->pending != 0) {
        self->deliver = 1;
    }
}

void PTH_LEAVES
_PyPth_RunOn(_PyPth_thread *thread)
{
    // What is saved here is never used.
    static void *scrap;
    if (thread == _PyPth_first && thread->busy && _PyPth_carrier != thread) {
        _PyPth_BlockForOwn(thread);
    }
    _PyPth_FreeStub(thread->stub);
    thread->stub = NULL;
    _PyPth_CheckState(thread);
    if (thread == _PyPth_first && _PyPth_carrier != thread) {
        thread->k.sp = thread->sp;
        move_to_first(&scrap);
        Py_UNREACHABLE();
    }
    _PyPth_SetAltstack(_PyPth_carrier, thread);
    _PyPth_SetKernelMask(_PyPth_carrier, thread->sigmask);
    _PyPth_CountForNext(thread);
    _PyPth_Switch(&scrap, thread->sp, thread->tp, NULL);
    Py_UNREACHABLE();
}

// The current thread is in C code without its GIL, and stays there for more than
// a moment.  The backend is not locked meanwhile.
static int
stays_in_call(void)
{
    _PyPth_thread *thread = _PyPth_after;
    if (thread == _PyPth_IDLE || thread == _PyPth_VACANT || !thread->nogil) {
        return 0;
    }
    volatile unsigned long *now = &_PyPth_entries;
    unsigned long entries = *now;
    uint64_t start = _PyPth_Ticks();
    _PyPth_UnlockAs(thread);
    while (*now == entries
           && _PyPth_Ticks() - start < 5 * _PyPth_us_ticks)
    {
        _PyPth_Pause();
    }
    _PyPth_LockSlowly();
    return _PyPth_after == thread && *now == entries && thread->nogil;
}

int
_PyPth_ComeIn(_PyPth_thread *self)
{
    assert(self->out);
    if (self->place == PTH_NONE && _PyPth_Spawn(self) < 0) {
        return -1;
    }
    int err = errno;
    _PyPth_thread *kernel = self->on;
    char *stub;
    if (kernel == self && self->waits_at_home != 0) {
        _PyPth_TakeFromHome(self);
    }
    if (self->waiting && self->result != 0 && stays_in_call()
        && (_PyPth_carrier != _PyPth_first || _PyPth_after == _PyPth_first)
        && (kernel != _PyPth_first || !_PyPth_AnyWoken())
        && (stub = new_stub()) != NULL)
    {
        // Nobody has to be woken to take over.
        set_out(_PyPth_after, _PyPth_carrier, stub);
        vacant = stub_context(stub);
        _PyPth_after = _PyPth_VACANT;
    }
    self->out = 0;
    self->on = NULL;
    _PyPth_MaskStale();
    set_off(kernel);
    _PyPth_CheckState(self);
    if (self->waiting && self->result != 0) {
        // Only its turn is what it waits for.
        _PyPth_MakeReady(self);
    }
    else if (self->fds != NULL || self->deadline != _PyPth_FOREVER) {
        // The carrier may have been in a call for long, with nobody to look
        // after.
        _PyPth_TellCarrier();
    }
    if (_PyPth_after == _PyPth_VACANT) {
        _PyPth_carrier = kernel;
        _PyPth_Switch(&self->sp, vacant, kernel->k.tp, NULL);
    }
    else {
        quiet_kernel(kernel);
        park_unlocked(&self->sp, &kernel->k, NULL);
    }
    if (on_its_way) {
        arrive();
    }
    if (self->pending != 0) {
        self->deliver = 1;
    }
    // It was only woken for that, if it is still blocked.
    _PyPth_Block(self);
    errno = err;
    return 0;
}

// A kernel thread for the thread that is parked: its own one if that can be, but
// never the first one for others.  NULL: there is none.
static _PyPth_thread *
free_kernel(_PyPth_thread *self)
{
    return can_carry(self) ? self : other_kernel();
}

// The current thread goes on on the kernel thread `on`, out, and the carrier
// goes on with `stub`.  Returns when the backend is not locked any more.
static void
leave_carrier(_PyPth_thread *self, _PyPth_thread *on, char *stub)
{
    leave_altstack(_PyPth_carrier);
    count_for(_PyPth_carrier, _PyPth_carrier);
    set_out(self, on, stub);
    keep_first_tp(_PyPth_carrier);
    _PyPth_CheckState(self);
    _PyPth_Switch(&on->k.sp, stub_context(stub), _PyPth_carrier->k.tp,
                  &on->k);
    at_home(self, on);
}

// The calling thread, which is out, goes on on the kernel thread `on`.  The
// same.
static void
change_kernel(_PyPth_thread *self, _PyPth_thread *on)
{
    _PyPth_thread *kernel = self->on;
    set_on(self, on);
    set_off(kernel);
    _PyPth_CheckState(self);
    quiet_kernel(kernel);
    park_unlocked(&on->k.sp, &kernel->k, &on->k);
    if (_Py_atomic_load_int_relaxed(&_PyPth_lock_sleepers) > 0) {
        wake_sleeper();
    }
    at_home(self, on);
}

// The current thread runs on its own kernel thread: `next`, or nobody if that is
// NULL, becomes the carrier.  The same.
static void
leave_to_other(_PyPth_thread *self, _PyPth_thread *next, char *stub)
{
    assert(self->kmask == self->sigmask);
    set_out(self, self, stub);
    if (next != NULL) {
        hand_over(next);
        return;
    }
    vacant = stub_context(stub);
    _PyPth_UnlockAs(_PyPth_VACANT);
}

// Return 0, or -1 if there is no memory, and it goes on elsewhere.
static int
go_home(_PyPth_thread *self)
{
    if (self->out && self->on == self) {
        return 0;
    }
    int err = errno;
    if (self->out && free_kernel(self) == self) {
        change_kernel(self, self);
    }
    else {
        // Its own kernel thread carries, or another thread was left there.
        if (self->out) {
            _PyPth_TakeTurn(self);
        }
        if (self->busy) {
            _PyPth_BlockForOwn(self);
            _PyPth_SetThreadPointer(self->tp);
        }
        char *stub = new_stub();
        if (stub == NULL) {
            errno = err;
            return -1;
        }
        if (_PyPth_carrier != self) {
            leave_carrier(self, self, stub);
        }
        else {
            // What ran here before may have been another one: it has become the
            // carrier while this one waited for it.
            at_home(self, self);
            leave_to_other(self, next_carrier(), stub);
        }
    }
    _PyPth_LockSlowly();
    errno = err;
    return 0;
}

void
_PyPth_GoHome(_PyPth_thread *self)
{
    if (go_home(self) < 0) {
        Py_FatalError("no memory to leave GNU Pth");
    }
}

void
_PyPth_BeforeChild(void)
{
    _PyPth_thread *self = _PyPth_self;
    if (!_PyPth_InProgram()) {
        return;
    }
    _PyPth_Lock();
    self->pooled = 0;
    if (!self->alone && !is_on_own(self)) {
        // Without the memory for that the child is another kernel thread's.
        (void)go_home(self);
    }
    _PyPth_Unlock();
}

void
_PyPth_MakeRoom(_PyPth_thread *self)
{
    int err = errno;
    char *stub;
    _PyPth_thread *on = _PyPth_carrier == self ? next_carrier()
                                               : free_kernel(self);
    if (on == NULL || (stub = new_stub()) == NULL) {
        _PyPth_Unlock();
        return;
    }
    if (_PyPth_carrier != self) {
        leave_carrier(self, on, stub);
    }
    else {
        leave_to_other(self, on, stub);
    }
    _PyPth_inside = 0;
    errno = err;
}

void
_PyPth_BeforeLongCall(void)
{
    _PyPth_Lock();
    if (_PyPth_IsCurrent() && _PyPth_AnyReady()) {
        _PyPth_MakeRoom(_PyPth_self);
    }
    else {
        _PyPth_Unlock();
    }
}

void
_PyPth_LeaveFirst(void)
{
    _PyPth_thread *self = _PyPth_self;
    if (self == _PyPth_first) {
        return;
    }
    _PyPth_Lock();
    if (_PyPth_KernelOf(self) == _PyPth_first) {
        _PyPth_GoHome(self);
    }
    _PyPth_Unlock();
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
        || (call->number == SYS_futex && (args[0] == (uintptr_t)&bell.go
                                          || args[0] == (uintptr_t)&lock_starves)))
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

void
_PyPth_NoteGuests(void)
{
    _PyPth_new_guests = 0;
    int asked = 0;
    for (int i = 0; i < MAX_GUESTS; i++) {
        _PyPth_thread *kernel = guests[i];
        if (kernel == NULL) {
            continue;
        }
        if (_Py_atomic_load_ptr_acquire(&kernel->sent_away) != NULL
            || asked >= MAX_ASKED)
        {
            // Its handler reads this, or next time.
            _PyPth_new_guests = 1;
            continue;
        }
        if (!kernel->ended && (kernel->busy || kernel == _PyPth_carrier)) {
            if ((kernel->looks & (kernel->looks - 1)) != 0) {
                // The longer it runs, the less often it is asked.
                kernel->looks++;
                _PyPth_new_guests = 1;
                continue;
            }
            asked++;
            unsigned long args[TIMED_ARGS];
            _PyPth_call call;
            int is_ms;
            read_call(kernel, &call, args);
            // In this order: the call may just have begun to wait.
            kernel->waits = read_waits(kernel);
            if (kernel->waits != 0
                && timeout_arg(call.number, args, &is_ms) >= 0)
            {
                kernel->waits_since = _PyPth_Now();
            }
            else if (call.number < 0 || kernel->looks < GUEST_LOOKS) {
                // It may be about to make one.
                kernel->looks = Py_MIN(kernel->looks, MAX_LOOKS / 2) + 1;
                _PyPth_new_guests = 1;
                continue;
            }
        }
        kernel->looks = 0;
        guests[i] = NULL;
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
        watch_guest(_PyPth_carrier);
    }
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
static void
send_away(_PyPth_thread *kernel, int computes)
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

int
_PyPth_TakeOver(void)
{
    _PyPth_thread *thread = _PyPth_after;
    if (_PyPth_carrier == _PyPth_first && thread != _PyPth_first
        && _PyPth_first->sent_away == NULL)
    {
        // It would get the signals of the process there, and the first thread
        // may want its kernel thread.  Where the signal does not come, for the
        // kernel does not interrupt all that it waits for, it is left behind.
        send_away(_PyPth_first, 1);
        return -1;
    }
    _PyPth_thread *next = next_carrier();
    char *stub;
    if (next == NULL || (stub = new_stub()) == NULL) {
        return -1;
    }
    set_out(thread, _PyPth_carrier, stub);
    hand_over(next);
    return 0;
}

int
_PyPth_TakeFromCall(void)
{
    _PyPth_woken_behind = 0;
    if (_PyPth_AnyWoken() && stays_in_call() && _PyPth_AnyWoken()
        && _PyPth_TakeOver() == 0)
    {
        // It is not locked any more.
        _PyPth_inside = 0;
        return 1;
    }
    return 0;
}

void
_PyPth_FreeWanted(void)
{
    for (_PyPth_thread *t = _PyPth_threads; _PyPth_nwanting > 0 && t != NULL;
         t = t->all_next)
    {
        if (t->wants_own && t->busy == 1) {
            send_away(t, 0);
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
    if (!try_lock()) {
        return;
    }
    char *stub = NULL;
    _PyPth_thread *on = free_kernel(self);
    int go = 0;
    if (on == NULL) {
    }
    else if (self->out) {
        go = (self->on == kernel
              && (kernel == _PyPth_first || kernel->wants_own));
    }
    else if (_PyPth_IsCurrent() && _PyPth_carrier == kernel
             && kernel == _PyPth_first)
    {
        stub = new_stub();
        go = (stub != NULL);
    }
    if (!go) {
        _PyPth_Unlock();
        return;
    }
    // A handler that this one interrupted blocks its own signal, which whoever
    // runs here next does not.  The kernel's mask is shorter than the type.
    memcpy(&kernel->kmask, &context->uc_sigmask, sizeof(kernel->kmask));
    if (self->out) {
        change_kernel(self, on);
    }
    else {
        leave_carrier(self, on, stub);
    }
    _PyPth_inside = 0;
    _PyPth_KeepAltstack(context);
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


/* Signal handlers on the first kernel thread */

int
_PyPth_IsForFirst(int signum, const siginfo_t *info, _PyPth_thread *target,
                  ucontext_t *context)
{
    _PyPth_thread *self = _PyPth_self, *first = _PyPth_first;
    // The first of a child that another one has forked has the parent's no more.
    if (self == NULL || self == first || first->pthread == 0) {
        return 0;
    }
    if (target == NULL) {
        if (info->si_code == SI_TKILL || first->ended
            || _PyPth_Blocks(first, signum))
        {
            return 0;
        }
    }
    else if (target != first) {
        return 0;
    }
    _PyPth_call unknown = {.number = -1};
    (void)_PyPth_RestartCall(context, &unknown);
    return 1;
}

// For who has more to look for than the lock: after so many tries in vain.
static void
back_off(int tries)
{
    // Who has it may wait for this processor.
    if (tries < 100) {
        _PyPth_Pause();
    }
    else if (tries < 1000) {
        (void)_PyPth_Sys(SYS_sched_yield);
    }
    else {
        // A real-time thread yields to its like only (sched(7)).
        struct timespec ts = {0, 50000};
        (void)_PyPth_Sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &ts, NULL);
    }
}

int
_PyPth_BeginHandler(ucontext_t *context)
{
    _PyPth_thread *first = _PyPth_first;
    if (_PyPth_self != first || !_PyPth_IsParked(context)) {
        return 0;
    }
    int tries = 0;
    do {
        if (_Py_atomic_load_int(&first->k.go)) {
            // It is to go on, maybe as the carrier, and with the lock.
            return 0;
        }
        back_off(tries++);
    } while (!lock_at_once());
    // It may be about to be woken: see move_to_first().
    int parked = !_Py_atomic_load_int(&first->k.go) && !first->busy
                 && _PyPth_carrier != first;
    if (parked) {
        first->busy = PTH_HANDLER;
    }
    _PyPth_UnlockAs(_PyPth_after);
    return parked;
}

void
_PyPth_EndHandler(void)
{
    _PyPth_LockSlowly();
    _PyPth_first->busy = 0;
    if (_PyPth_first->wants_own) {
        _PyPth_MakeReady(_PyPth_first);
    }
    _PyPth_UnlockAs(_PyPth_after);
}


/* The wait of the carrier in the kernel */

static volatile int idle_state = 0;       // 1: it waits, 2: it was kicked
static volatile pid_t idle_tid;
static volatile sig_atomic_t kick_came = 0;

void
_PyPth_KickIdle(void)
{
    int waits = 1;
    if (_Py_atomic_compare_exchange_int((int *)&idle_state, &waits, 2)) {
        _PyPth_SendSignal(idle_tid, NULL);
    }
}

void
_PyPth_TellCarrier(void)
{
    if (_PyPth_after == _PyPth_IDLE) {
        _PyPth_KickIdle();
    }
    else {
        _PyPth_TellMonitor();
    }
}

int
_PyPth_IsKicked(pid_t tid)
{
    return idle_state == 2 && idle_tid == tid;
}

void
_PyPth_Kicked(void)
{
    kick_came = 1;
    _PyPth_EndIdle();
}

void
_PyPth_BeginIdle(void)
{
    idle_tid = _PyPth_carrier->tid;
    (void)_Py_atomic_exchange_int((int *)&idle_state, 1);
    if (_PyPth_SignalsCame()) {
        _PyPth_EndIdle();
    }
    _PyPth_UnlockAs(_PyPth_IDLE);
}

void
_PyPth_FinishIdle(void)
{
    if (_Py_atomic_exchange_int((int *)&idle_state, 0) == 2) {
        // The signal is on its way, and must not come into a call of the
        // program.
        struct timespec ms = {0, 1000000};
        uint64_t mask = _PyPth_AllOtherSignals();
        while (!kick_came) {
            struct timespec timeout = ms;
            (void)_PyPth_Sys(SYS_ppoll, NULL, 0, &timeout, &mask,
                             sizeof(mask));
        }
        kick_came = 0;
    }
    arrive();
}

void
_PyPth_AwaitArrivals(void)
{
    // As long as it takes to make a kernel thread, and then some.
    uint64_t start = _PyPth_Ticks();
    _PyPth_UnlockAs(_PyPth_IDLE);
    while (_PyPth_arriving > 0 && !_PyPth_AnyWoken()
           && _PyPth_Ticks() - start < 200 * _PyPth_us_ticks)
    {
        (void)_PyPth_Sys(SYS_sched_yield);
    }
    _PyPth_LockSlowly();
    _PyPth_after = _PyPth_current;
}


/* Fork */

// The other kernel threads, which are the parent's.
static void
forget_others(void)
{
    has_spare = 0;
    spare.tid = 0;
    spare.place = PTH_NONE;
    spare.busy = 0;
    for (int i = 0; i < MAX_GUESTS; i++) {
        if (guests[i] != NULL) {
            guests[i]->looks = 0;
            guests[i] = NULL;
        }
    }
    _PyPth_new_guests = 0;
    on_its_way = 0;
    idle_state = 0;
    kick_came = 0;
}

// The child of a foreign thread, or of one that is out: what Pth was about to do is
// done by whoever comes in first.
void
_PyPth_ForgetCarrier(void)
{
    forget_others();
    _PyPth_thread *thread = _PyPth_current;
    if (thread->stub == NULL) {
        thread->stub = new_stub();
    }
    if (thread->stub == NULL) {
        Py_FatalError("no memory for a stack");
    }
    thread->out = 1;
    thread->on = thread;
    thread->busy = _PyPth_first->busy = 1;
    take_own_tp(thread);
    vacant = stub_context(thread->stub);
    _PyPth_after = _PyPth_VACANT;
}

void
_PyPth_ForgetKernels(_PyPth_thread *self)
{
    forget_others();
    vacant = NULL;
    take_new_kernel(self);
    self->busy = 0;
    if (self->out) {
        self->on = self;
    }
    self->wants_own = 0;
    self->postponed = 0;
    _PyPth_npostponed = 0;
    self->kmask = self->sigmask;
    self->alt_owner = self->has_altstack ? self : NULL;
    // As the kernel does (fork(2)).
    self->used = 0;
    _PyPth_first = _PyPth_carrier = self;
}
