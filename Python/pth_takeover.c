// GNU Pth backend: who carries.
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
#define PTH_MACHINE_CODE          // it has to be in one of the files that include it
#include "pth_machine.h"

#include <sys/prctl.h>
#ifdef _Py_ADDRESS_SANITIZER
#  include <sanitizer/asan_interface.h>
#endif

_PyPth_thread *_PyPth_current = &_PyPth_main;
_PyPth_thread *_PyPth_carrier = &_PyPth_main;
_PyPth_thread *_PyPth_first = &_PyPth_main;

int _PyPth_lends = 0;


/* Who carries */

static void run_stub(void);

static void *
stub_context(char *stack)
{
#ifdef _Py_ADDRESS_SANITIZER
    // Who was on it before has left it without a return from its functions.
    __asan_unpoison_memory_region(stack, PTH_STUB_SIZE);
#endif
    return _PyPth_Frame(stack + PTH_STUB_SIZE, run_stub);
}

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
    _PyPth_QuietKernel(&spare);
    _PyPth_ParkUnlocked(&scrap, &spare.k, NULL);
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
        _PyPth_WrapSetxid();
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
        _PyPth_WatchGuest(on);
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
    _PyPth_QuietKernel(old);
    on_its_way = 1;
    _PyPth_after = _PyPth_IDLE;
    _PyPth_ParkUnlocked(save, &old->k, &_PyPth_first->k);
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
        && (stub = _PyPth_NewStub()) != NULL)
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
        _PyPth_QuietKernel(kernel);
        _PyPth_ParkUnlocked(&self->sp, &kernel->k, NULL);
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
    _PyPth_LeaveAltstack(_PyPth_carrier);
    count_for(_PyPth_carrier, _PyPth_carrier);
    set_out(self, on, stub);
    keep_first_tp(_PyPth_carrier);
    _PyPth_CheckState(self);
    _PyPth_Switch(&on->k.sp, stub_context(stub), _PyPth_carrier->k.tp,
                  &on->k);
    _PyPth_AtHome(self, on);
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
    _PyPth_QuietKernel(kernel);
    _PyPth_ParkUnlocked(&on->k.sp, &kernel->k, &on->k);
    if (_Py_atomic_load_int_relaxed(&_PyPth_lock_sleepers) > 0) {
        _PyPth_WakeSleeper();
    }
    _PyPth_AtHome(self, on);
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
        char *stub = _PyPth_NewStub();
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
            _PyPth_AtHome(self, self);
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
    // It gives up its turn, which those that compute wait for as long as a slice.
    self->computes = 0;
    int err = errno;
    char *stub;
    _PyPth_thread *on = _PyPth_carrier == self ? next_carrier()
                                               : free_kernel(self);
    if (on == NULL || (stub = _PyPth_NewStub()) == NULL) {
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
int
_PyPth_LeaveKernel(_PyPth_thread *self, _PyPth_thread *kernel, uint64_t mask)
{
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
        stub = _PyPth_NewStub();
        go = (stub != NULL);
    }
    if (!go) {
        _PyPth_Unlock();
        return 0;
    }
    kernel->kmask = mask;
    if (self->out) {
        change_kernel(self, on);
    }
    else {
        leave_carrier(self, on, stub);
    }
    _PyPth_inside = 0;
    return 1;
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
        _PyPth_SendAway(_PyPth_first, 1);
        return -1;
    }
    _PyPth_thread *next = next_carrier();
    char *stub;
    if (next == NULL || (stub = _PyPth_NewStub()) == NULL) {
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


/* Signal handlers on the first kernel thread */

int
_PyPth_IsForOther(int signum, const siginfo_t *info, _PyPth_thread *target,
                  ucontext_t *context)
{
    _PyPth_thread *self = _PyPth_self, *first = _PyPth_first;
    if (self == NULL) {
        return 0;
    }
    if (target == NULL) {
        // The first of a child that another one has forked has the parent's no more.
        if (self == first || first->pthread == 0 || first->ended
            || info->si_code == SI_TKILL || _PyPth_Blocks(first, signum))
        {
            return 0;
        }
    }
    else if (target == self || target->ended) {
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
    } while (!_PyPth_LockSoon(1));
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
    _PyPth_ForgetGuests();
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
        thread->stub = _PyPth_NewStub();
    }
    if (thread->stub == NULL) {
        Py_FatalError("no memory for a stack");
    }
    thread->out = 1;
    thread->on = thread;
    thread->busy = _PyPth_first->busy = 1;
    _PyPth_TakeOwnTP(thread);
    vacant = stub_context(thread->stub);
    _PyPth_after = _PyPth_VACANT;
}

void
_PyPth_ForgetKernels(_PyPth_thread *self)
{
    forget_others();
    vacant = NULL;
    _PyPth_TakeNewKernel(self);
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
