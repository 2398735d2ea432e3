// What the files of the GNU Pth backend share.  See pycore_pth.h for the files
// and for what the rest of CPython may use.

#ifndef Py_PTH_INTERNAL_H
#define Py_PTH_INTERNAL_H

#include "Python.h"
#include "pycore_pth.h"           // _PyPth_queue
#include "pycore_pystate.h"       // _Py_tss_tstate
#include "pycore_time.h"          // PyTime_MonotonicRaw()

#include <errno.h>
#include <poll.h>
#include <pth.h>
#include <pthread.h>              // pthread_t
#include <signal.h>               // sigset_t
#include <stdlib.h>               // malloc(), see below
#include <time.h>
#include <ucontext.h>

// The backend takes its memory from malloc() itself.  Threads outlive
// Py_Finalize(), and the allocators that are set for the next Py_Initialize().

// A kernel thread, as the assembler of pth_machine.h knows it.
typedef struct {
    int go;                       // set, and a futex: leave _PyPth_Park()
    void *sp;                     // the context to go on with
    void *tp;                     // a thread pointer that is free for it
    void *park_sp;                // a stack to park on, or NULL: where it is
} _PyPth_kernel;

#define PTH_HANDLER 2

// A system call that a kernel thread is in: its number, or -1, where it is made,
// and its first argument.
typedef struct {
    long number;
    unsigned long pc, arg;
} _PyPth_call;

// Where a thread is, seen from the scheduler of Pth.
typedef enum {
    PTH_NONE,                     // Pth does not know it
    PTH_NEW,                      // suspended, and has not run yet
    PTH_RUNNING,                  // the current thread
    PTH_READY,                    // in Pth's queues of new and ready threads
    PTH_AWAITING,                 // in pth_cond_await()
} _PyPth_place;

// A function that goes on on another stack, and does not come back.  Where that
// is said, or the compiler finds out, AddressSanitizer forgets what it knows of the
// stack that the thread has, which a stub's is not.
#if defined(_Py_ADDRESS_SANITIZER) && defined(__clang__)
#  define PTH_LEAVES __attribute__((optnone))
#elif defined(_Py_ADDRESS_SANITIZER)
#  define PTH_LEAVES __attribute__((noipa))
#else
#  define PTH_LEAVES _Py_NO_RETURN
#endif

#define PTH_NAME 16               // Linux, TASK_COMM_LEN

// Sets of signals are as the kernel has them, a bit a signal: a sigset_t of the
// C library begins with that, and has room for 1,024.
#define PTH_SIGNAL_BIT(signum) ((uint64_t)1 << ((signum) - 1))
// By which the C library cancels threads, and has setuid() done by all of them
// (nptl(7)); they have no names (glibc,
// sysdeps/unix/sysv/linux/internal-signals.h).
#define PTH_SIGCANCEL 32
#define PTH_SIGSETXID 33

// One record a Python thread.  See the table of states in docs/design.md.
typedef struct _PyPth_thread {
    /* Kernel threads (pth_kernel.c, pth_takeover.c, pth_guests.c) */
    _PyPth_kernel k;              // its own
    void *tp;                     // its thread pointer
    struct _PyPth_thread *lends_tp;       // k.tp is that thread's
    struct _PyPth_thread *tp_with;        // who has its own in k.tp
    void *sp;                     // its context, while it is in, and left
                                  // the outside by _PyPth_Park()
    char out;                     // not scheduled by Pth: runs by itself, on
    struct _PyPth_thread *on;     // this thread's kernel thread
    char busy;                    // a thread that is out runs on its kernel
                                  // thread, or (PTH_HANDLER) a handler
    char ended;
    char alone;                   // Pth never schedules it any more: it stays
                                  // on its own kernel thread
    char wants_own;               // waits for its own kernel thread
    char postponed;               // one of _PyPth_npostponed,
    char postponed_nogil;         // and had no GIL when it became so
    char spared;                  // how often no signal was sent, as no call was
                                  // made, since its kernel thread is wanted
    struct _PyPth_thread *sent_away;  // to whom, on its kernel thread, a signal
                                  // is on its way, to leave it, or NULL,
    _PyPth_call call;             // and the call that was made then
    struct timespec left;         // of a timed call
    PyTime_t waits_since;         // in a timed call, or 0,
    unsigned long waits;          // and how often it had waited then
    char looks;                   // above 0: that is to be seen
    char kernel_wait;             // a record of a wait that is no thread: its
                                  // kernel thread waits, on k.go
    char *stub;                   // the stack that stands for it while it is
                                  // out, or NULL
    pid_t tid;                    // the ID of its kernel thread
    uint64_t kmask;               // the signal mask of that, as we know it
    struct _PyPth_thread *alt_owner;  // whose alternate stack it has
    struct _PyPth_thread *ran;    // who has run on it last, and has not left it
    struct _PyPth_thread *counts_for;     // who uses its processor time, of which
    PyTime_t given;               // so much was given to threads (pth_cputime.c)
    char owes;                    // more is its own thread's, and was not given
    PyTime_t used;                // how much the thread has used, in nanoseconds

    /* The scheduler's view (pth_wait.c) */
    pth_t pth;                    // NULL: Pth has not seen it yet
    _PyPth_place place;
    char suspended;               // taken out of Pth's waiting queue
    char counted;                 // counted in `nready`
    char urgent;                  // counted in `nurgent`
    char computes;                // its slice ended, and it has waited for its
                                  // turn alone since, and made no long call
    char asks;                    // without waiting, in this slice
    unsigned long last_slice;     // a number: when its last one ended
    // A condition of its own, because one that several threads wait for has
    // no order, and loses wake-ups: pth_cond_notify() keeps one flag, so two
    // notifications before one pass of the scheduler wake one waiter.
    pth_cond_t cond;
    pth_mutex_t mutex;            // held always, but inside pth_cond_await()

    /* The wait that it is in, if `waiting` */
    char waiting;
    char flags;                   // _PyPth_INTERRUPTIBLE, _PyPth_ONE_TAKES
    _PyPth_result result;         // 0 while the wait lasts
    _PyPth_queue *queue;          // or NULL
    struct _PyPth_thread *next, *prev;  // in the queue
    PyTime_t deadline;            // or _PyPth_FOREVER
    Py_ssize_t timer;             // index in the heap of deadlines, or -1
    struct pollfd *fds;           // or NULL
    nfds_t nfds;
    struct _PyPth_thread *fds_next, *fds_prev;
    struct _PyPth_fdwait *fdwaits;
    char registered;              // those are, or were: `revents` may be wrong
    char unchecked;               // see _PyPth_CheckWaits()
    char confirmed;               // the last wait for edges was checked
    char in_woken;                // in the list of the woken
    struct _PyPth_thread *woken_next;
    struct _PyPth_thread *await_next, *await_prev;  // awaiting, not suspended
    unsigned int signals_seen;    // signals that have ended a wait

    /* How long its calls without the GIL take (pth_gil.c) */
    char nogil;                   // has dropped the GIL
    struct _gil_runtime_state *gil;       // that it has taken last
    char parks;                   // drops the GIL to wait for a lock, for no call
    char long_calls;              // above 0: one of its last ones took long
    char blocks;                  // above 0: that did not compute
    char first_calls;             // it has made fewer than that
    char made_room;               // it has, in this one
    char in_call;                 // is in one,
#define PTH_CALLS 1
#define PTH_WAITED 2              // where it waits in the backend, if at all
    uint64_t dropped_at;          // when it began, in ticks, or 0
    unsigned long switches_then;  // _PyPth_switches when it made room,
    uint64_t room_took;           // and how long that takes, in ticks

    /* The thread itself (pth_thread.c) */
    struct _PyPth_thread *all_next, *all_prev;
    struct _PyPth_thread *record_next;    // see _PyPth_records
    pthread_t pthread;
    void (*func)(void *);
    void *arg;
    struct _PyPth_job *job;       // what joiners wait for
    char pooled;                  // its kernel thread may be used again
    char name[PTH_NAME];          // the name of that, as we know it
    char misnamed;                // it begins with another one's
    struct _PyPth_thread *parked_next;

    /* Signals (pth_signal.c) */
    uint64_t sigmask;             // its mask,
    uint64_t call_mask;           // and that of the call that it is in,
    int has_call_mask;            // if that has one (sigsuspend(2))
    char deliver;                 // its handlers shall run
    uint64_t pending;             // sent to it while it was not running
    uint64_t put_aside;           // sent to it while it was inside of the backend
    uint64_t waits_at_home;       // sent to its kernel thread, which blocks them
    stack_t altstack;             // its alternate stack,
    char has_altstack;            // if it has one

    int entry_errno;              // when a mapped call began (pth_syscalls.h)
} _PyPth_thread;

// _PyPth_self is NULL for a kernel thread that Python has not started and that
// was not the first to initialize it: it has no record.  _PyPth_inside: the
// calling thread has locked the backend, or is away in Pth; a signal handler
// that interrupts it must make plain calls.
// It runs a signal handler of C.
extern _Py_thread_local char *_PyPth_handler;     // its frame, or NULL
// It is the child of a vfork(), which runs in its parent's memory, or one that no
// handler of pthread_atfork() is called for.
extern _Py_thread_local char _PyPth_vforked;

extern _PyPth_thread _PyPth_main;         // the thread that initialized Python
extern _PyPth_thread *_PyPth_first;       // whose kernel thread runs nobody
                                          // else's Python code: the first one
                                          // of the process
extern _PyPth_thread *_PyPth_threads;     // those alive, linked by all_next
extern unsigned int _PyPth_generation;    // forks since the process began
extern volatile int _PyPth_nthreads;      // threads alive, or being started
extern volatile int _PyPth_no_threads;    // the last of them has ended
// Then, from the monitor: end the process if nobody else lives.
extern void _PyPth_ExitWithLast(void);

// Does the calling thread run a handler?  One that has left it by siglongjmp()
// is above its frame, or on another stack than the alternate one.
static inline int
_PyPth_InHandler(void)
{
    if (_PyPth_handler == NULL) {
        return 0;
    }
    char *here = __builtin_frame_address(0);
    _PyPth_thread *self = _PyPth_self;
    int left = here > _PyPth_handler;
    if (!left && self != NULL && self->has_altstack) {
        char *low = self->altstack.ss_sp;
        char *high = low + self->altstack.ss_size;
        left = (_PyPth_handler >= low && _PyPth_handler < high
                && here < low);
    }
    if (left) {
        _PyPth_handler = NULL;
    }
    return !left;
}

/* pth_lock.c */

// What the lock holds (_PyPth_lock): the thread that runs on the carrier,
// outside of the backend, _PyPth_BUSY, or one of these.  What it will hold
// when it is unlocked is in _PyPth_after, and how often the thread on the
// carrier has done so in _PyPth_entries.
#define _PyPth_IDLE ((_PyPth_thread *)2)  // the carrier waits in the kernel, or is
                                          // on its way
#define _PyPth_VACANT ((_PyPth_thread *)3)        // there is no carrier
// Lock it unless that takes more than so many tries.  Return true if it is locked;
// _PyPth_inside is as it was.
extern int _PyPth_LockSoon(int tries);
// Wake one who sleeps for it.
extern void _PyPth_WakeSleeper(void);
// Nobody does.
extern void _PyPth_ForgetSleepers(void);
// Is that a futex by which somebody waits for it?
extern int _PyPth_IsLockWait(unsigned long address);
// Park the kernel thread, and unlock the backend as soon as the stack is free.  If
// there is a `wake`, that one has to see that who sleeps for the lock is woken.
extern void _PyPth_ParkUnlocked(void **save, _PyPth_kernel *k, _PyPth_kernel *wake);
// Does the caller, who has locked the backend, run on the carrier?
static inline int
_PyPth_IsCurrent(void)
{
    return _PyPth_self != NULL && _PyPth_after == _PyPth_self;
}

/* pth_kernel.c */

// syscall() of the C library, which a program calls by way of ours.
extern long (*_PyPth_Sys)(long number, ...);
extern long _PyPth_Futex(int *word, int op, int value,
                         const struct timespec *timeout);
extern void _PyPth_WakeKernel(_PyPth_kernel *k);
// A file of proc(5), as a string of less than `size` bytes; "" if there is none.
extern void _PyPth_ReadProc(const char *name, char *buf, size_t size);
// What the kernel says of a kernel thread: the file `what` of its directory there.
extern void _PyPth_ReadTask(pid_t tid, const char *what, char *buf,
                            size_t size);
// A number of its file `status`, behind `field` ("\nName:").  Return 0, or -1 if there
// is none.
extern int _PyPth_ReadStatus(pid_t tid, const char *field, int base, uint64_t *value);
// A clock for short times.
extern uint64_t _PyPth_ReadTicks(void);
// Give the calling kernel thread a record: for the thread that initializes
// Python.
extern void _PyPth_InitKernel(_PyPth_thread *self);
// The calling kernel thread has no restartable sequences from now on.
extern void _PyPth_LeaveRseq(void);
// The calling kernel thread is that of the record from now on.  The one before was the
// parent's in the child of a fork: told to carry, say, or sent away.
extern void _PyPth_TakeNewKernel(_PyPth_thread *self);
// Whoever had the thread pointer, or whose the thread had, was the parent's.
extern void _PyPth_TakeOwnTP(_PyPth_thread *thread);
// Make the mask and the alternate stack of the kernel thread those of the
// thread that runs on it.
extern void _PyPth_SetKernelMask(_PyPth_thread *kernel, uint64_t mask);
extern void _PyPth_SetAltstack(_PyPth_thread *kernel, _PyPth_thread *thread);
// In a signal handler: the kernel thread that returns from it keeps its alternate
// stack.  sigreturn(2) would give it that of the one where the handler began.
extern void _PyPth_KeepAltstack(ucontext_t *context);
// Who has run on it is about to leave it.
extern void _PyPth_LeaveAltstack(_PyPth_thread *kernel);
// The kernel thread of the caller is about to be parked.
extern void _PyPth_QuietKernel(_PyPth_thread *kernel);
// The calling thread has come to the kernel thread `on`, which was parked.
extern void _PyPth_AtHome(_PyPth_thread *self, _PyPth_thread *on);
// The C library has set its handler for setuid() and its kin, as it does when it
// creates the first thread.
extern void _PyPth_WrapSetxid(void);
// Memory, all zero, or NULL and errno.  With the backend locked it is got here, and
// neither malloc() nor free() is called: an allocator may make system calls, and
// those be ours that lock the backend, with locks of its own.
extern void *_PyPth_Map(size_t size);
// The top of a stack for a kernel thread to park on, for ever, or NULL.  Locked.
extern void *_PyPth_NewPark(void);
// A stack for a thread's stub, or NULL.  Locked.
#define PTH_STUB_SIZE ((size_t)65472)
extern char *_PyPth_NewStub(void);
extern void _PyPth_FreeStub(char *stack);

/* pth_guests.c */

// The thread on the kernel thread is not that one's own: what it waits in is to be
// noted.
extern void _PyPth_WatchGuest(_PyPth_thread *kernel);
// There are threads that have come to another one's kernel thread: note what they
// wait in there.  Locked.
extern int _PyPth_new_guests;
extern void _PyPth_NoteGuests(void);
// The current thread is in a call without the GIL since the last look.
extern void _PyPth_NoteCurrent(void);
// In the child of a fork.
extern void _PyPth_ForgetGuests(void);
// Who runs on this kernel thread, and `computes` or makes a call, is to go on on
// another one.
extern void _PyPth_SendAway(_PyPth_thread *kernel, int computes);
// Send away who runs on the kernel threads that their own threads wait for.
extern void _PyPth_FreeWanted(void);
// In the handler of the signal that does so: the calling thread leaves the kernel
// thread unless it is needed no more.
extern void _PyPth_Expelled(_PyPth_thread *kernel, ucontext_t *context);
// In a signal handler that has interrupted the calling thread inside of the backend:
// have it leave another one's kernel thread, and get the signals that were deferred,
// when it is not inside any more.
extern void _PyPth_Postpone(void);
// In one: end the call that the main thread is about to make.
extern void _PyPth_EndCall(ucontext_t *context);

/* pth_takeover.c */

extern _PyPth_thread *_PyPth_current;     // the current thread of Pth
extern _PyPth_thread *_PyPth_carrier;     // whose kernel thread carries

// That the thread is in one of the states that it may be in.  Locked.
#ifndef NDEBUG
extern void _PyPth_CheckState(_PyPth_thread *thread);
#else
#  define _PyPth_CheckState(thread) ((void)0)
#endif
// The process starts its first thread.  Return 0, or -1 and errno.
extern int _PyPth_InitTakeover(void);
// See that there is a spare kernel thread.  Return 0, or -1 and errno.  Not locked.
extern int _PyPth_StartSpare(void);
// The mask of all threads has changed.
extern void _PyPth_SetSpareMask(uint64_t mask);
// Can threads be scheduled by Pth at all?
extern int _PyPth_lends;
static inline int
_PyPth_CanLend(void)
{
    return _PyPth_lends;
}
// Does the calling thread, a Python one, run code of the program?  Not inside of
// the backend, nor in a signal handler, which may have come in the middle of
// anything, nor in the child of a vfork() and its like.
static inline int
_PyPth_InProgram(void)
{
    return _PyPth_self != NULL && !_PyPth_inside && !_PyPth_InHandler()
           && !_PyPth_vforked && _PyPth_CanLend();
}
// The calling thread, which is out, goes to wait in Pth: `self->waiting` and
// what it waits for are set.  Returns when that is over, in.  Return 0, or -1
// if there is no memory, and nothing has changed.
extern int _PyPth_ComeIn(_PyPth_thread *self);
// The calling thread runs on its own kernel thread from now on, out.
// Called, and returns, with the backend locked.
extern void _PyPth_GoHome(_PyPth_thread *self);
// The current thread makes room for others, who can run: it goes on out.
// Called with the backend locked; returns when it is unlocked.
extern void _PyPth_MakeRoom(_PyPth_thread *self);
// What kind of a call the calling thread is in, if it is in one.
static inline void
_PyPth_SetCall(char kind)
{
    if (_PyPth_self->in_call) {
        _PyPth_self->in_call = kind;
    }
}
// The calling thread is about to make a call that blocks: if others can run, it
// makes room for them.
extern void _PyPth_BeforeLongCall(void);
// The same for another one, by the monitor.  Return 0, or -1 if nobody can
// take over, and the backend is still locked.
extern int _PyPth_TakeOver(void);
// The kernel thread of the caller has come to a thread that Pth has chosen.
extern void _PyPth_Arrived(_PyPth_thread *self);
// Make the thread run on the kernel thread that calls this, which is on a
// stack of its own.
extern void PTH_LEAVES _PyPth_RunOn(_PyPth_thread *thread);
// A thread that waits in the kernel for all others can go on, or has to look
// again: end that wait.  Async-signal-safe.
extern void _PyPth_KickIdle(void);
// There is something for those that are in: the carrier's wait shall end, or the
// monitor look.
extern void _PyPth_TellCarrier(void);
extern void _PyPth_BeginIdle(void);
extern void _PyPth_FinishIdle(void);
// Wait a moment for a kernel thread that has just been started, without a call
// that waits.
extern void _PyPth_AwaitArrivals(void);
// The calling thread goes to its own kernel thread, for a call that is about
// that.  If the call sets something for it, to `stay` there: nobody else shall
// run with that.
extern void _PyPth_ToOwnKernel(int stay);
// It goes there to make a child, which the kernel takes for that of the kernel thread
// (PR_SET_PDEATHSIG, ptrace(2)); and that ends with the thread.
extern void _PyPth_BeforeChild(void);
// The calling thread goes to it, and stays.  Locked.
extern void _PyPth_GoAlone(_PyPth_thread *self);
// So does each thread from now on, when it takes or drops its GIL.
extern char _PyPth_all_alone;
// The kernel thread that the thread runs on, if it runs.
static inline _PyPth_thread *
_PyPth_KernelOf(_PyPth_thread *thread)
{
    return thread->out ? thread->on : _PyPth_carrier;
}
// The calling thread is about to make a call that ends half done if a signal
// interrupts it: it leaves the first kernel thread, whose own thread may want
// that back.
extern void _PyPth_LeaveFirst(void);
// In a signal handler, locked: the calling thread goes on on another kernel thread if
// `kernel`, which lets through all but `mask` then, is not for it.  Return true if it
// has.  It is not locked any more.
extern int _PyPth_LeaveKernel(_PyPth_thread *self, _PyPth_thread *kernel,
                              uint64_t mask);
// In a signal handler.  Return true if it interrupted the first kernel thread
// where that is parked: it may run there.  Nobody else comes to that kernel
// thread until _PyPth_EndHandler().
extern int _PyPth_BeginHandler(ucontext_t *context);
extern void _PyPth_EndHandler(void);
// In one, outside of the backend.  Return true if the signal is for another thread than
// it has come to, which the first one is that does not block it: then it has not
// interrupted a system call.
// `target`: what _PyPth_GetOriginalInfo() has returned.
extern int _PyPth_IsForOther(int signum, const siginfo_t *info,
                             _PyPth_thread *target, ucontext_t *context);
// In the child of a fork, where `self` runs.
extern void _PyPth_ForgetKernels(_PyPth_thread *self);
// In that of a thread that Pth does not schedule.
extern void _PyPth_ForgetCarrier(void);

/* pth_thread.c */

// The version suffix of a libpth with the patches of this repository (pth/),
// or NULL: the plain one.  With it waiting threads cost the scheduler nothing,
// so there is no need to suspend them.
extern const char *_PyPth_LibraryPatches(void);

// The monitor, before there is a thread.  Return 0, or -1 and errno.  Not locked.
extern int _PyPth_StartFirstMonitor(void);

extern int _PyPth_Start(void (*func)(void *), void *arg, size_t stacksize,
                        int detached, Py_uintptr_t *ident,
                        struct _PyPth_job **job);
extern void _PyPth_Join(struct _PyPth_job *job);
extern void _PyPth_Detach(struct _PyPth_job *job);
extern void _Py_NO_RETURN _PyPth_Exit(void *value);
// The calling kernel thread initializes Python.
extern void _PyPth_Adopt(void);
// The thread alive with this ident, or NULL.  Locked.
extern _PyPth_thread *_PyPth_FindThread(unsigned long ident);
// The same for a native ID.
extern _PyPth_thread *_PyPth_FindTid(pid_t tid);
// Is it that of a thread that has ended, but whose kernel thread is kept?
extern int _PyPth_IsFinished(unsigned long ident);
// Its kernel thread has this name from now on.
extern void _PyPth_Renamed(unsigned long ident, const char *name);
// Give it to that of this ID, or ask for it.  Return 0 or an errno value.
extern int _PyPth_WriteName(pid_t tid, const char *name);
extern int _PyPth_ReadName(pid_t tid, char name[PTH_NAME]);
// Make the thread known to Pth, where it will call func().  Return 0, or -1.
extern int _PyPth_Spawn(_PyPth_thread *thread);
// Threads whose kernel threads have not begun yet.
extern volatile int _PyPth_arriving;
// All records, for whom does not lock the backend; and one more of them.
extern _PyPth_thread *_PyPth_records;
extern void _PyPth_AddRecord(_PyPth_thread *thread);
// How many objects the dynamic linker has loaded so far, or 0: that cannot be
// asked.
extern uint64_t _PyPth_CountLoads(void);
// Free the record of a thread that has ended.
extern void _PyPth_FreeThread(_PyPth_thread *thread);

/* pth_cputime.c */

// What the kernel thread has used since the last time is its user's, and `next`
// uses it from now on.  Locked.
extern void _PyPth_Count(_PyPth_thread *kernel, _PyPth_thread *next);
// What the thread has used on its own kernel thread is not given to it when that parks:
// it is nobody else's.  Give it now.  Locked.
extern void _PyPth_CountOwn(_PyPth_thread *thread);
extern char _PyPth_counts_all;    // somebody has asked for the time of a thread
extern char _PyPth_counts_once;   // nobody has looked at the carrier for long
// The carrier comes to `thread`.  Locked.
static inline void
_PyPth_CountForNext(_PyPth_thread *thread)
{
    if (_PyPth_counts_all | _PyPth_counts_once | _PyPth_carrier->owes) {
        _PyPth_counts_once = 0;
        _PyPth_Count(_PyPth_carrier, thread);
    }
    else {
        _PyPth_carrier->counts_for = thread;
    }
}

/* pth_go.c */

// Go's runtime is in the process.
extern char _PyPth_has_go;
// Look for it: a kernel thread that Python did not start sets its signal mask, as
// those of Go do when they begin.
extern void _PyPth_LookForGo(void);

/* pth_wait.c */

// In the child of a fork those of the parent wait no more.
static inline void
_PyPth_CheckQueue(_PyPth_queue *queue)
{
    if (queue->generation != _PyPth_generation) {
        queue->head = queue->tail = NULL;
        queue->generation = _PyPth_generation;
    }
}

static inline int
_PyPth_IsBlocked(_PyPth_thread *thread)
{
    return thread->out || (thread->waiting && thread->result == 0);
}

// End the wait of `thread` with `result`.
extern void _PyPth_WakeThread(_PyPth_thread *thread, _PyPth_result result);
// The thread, which does not wait, is to run as soon as it can.
extern void _PyPth_MakeReady(_PyPth_thread *thread);
// Run others until `self` can go on, or has ended and others are ready.
extern void _PyPth_Block(_PyPth_thread *self);
// The same until its own kernel thread is free.
extern void _PyPth_BlockForOwn(_PyPth_thread *self);
extern int _PyPth_nwanting;               // threads that do
// The bookkeeping when Pth has come to a thread.
extern void _PyPth_CameBack(_PyPth_thread *self);
// How long descriptors and deadlines may go unlooked at while somebody runs.
#define _PyPth_POLL_NS 200000
// Look who can go on by now.  Return true if somebody can.
extern int _PyPth_LookAround(int slice_ended);
// Make room for the deadlines of `nthreads` threads.  Return 0, or -1.
extern int _PyPth_ReserveTimers(int nthreads);
// The first deadline, or _PyPth_FOREVER.
extern PyTime_t _PyPth_FirstDeadline(void);
// Somebody can run.
extern int _PyPth_AnyReady(void);
// Somebody waits for a descriptor or a deadline.
extern int _PyPth_SomeoneWaits(void);
// The calling thread, or NULL, waits on its kernel thread, not in Pth.
extern int _PyPth_WaitsInKernel(_PyPth_thread *self);
// A thread whose slice has ended could go on.
extern int _PyPth_SomeoneComputes(void);
// Others than the current thread have woken one that does not compute since the last
// call, and it has not run yet.
extern int _PyPth_WokenByOthers(void);
// If one waits for it, whoever has woken that, the current thread hands over to it when
// it drops the GIL the next time.
extern void _PyPth_GiveWay(void);
// Who was woken first, and was not handed over to yet.  NULL: nobody.
extern _PyPth_thread *_PyPth_FirstWoken(void);
// Somebody has been woken, and has not run since.
extern int _PyPth_AnyWoken(void);
// In the child of a fork: no other thread waits or is ready any more.
extern void _PyPth_ForgetOthers(void);
// The wait in the kernel, if any, shall not begin.  Async-signal-safe.
extern void _PyPth_EndIdle(void);
extern unsigned long _PyPth_switches;     // passes of the scheduler
// Have signals come in that nobody was told of?
extern int _PyPth_SignalsCame(void);

// Nanoseconds of the monotonic clock.
extern PyTime_t _PyPth_Now(void);
// Those of a time, PyTime_MAX if they are more.
static inline PyTime_t
_PyPth_FromTimespec(const struct timespec *ts)
{
    // _PyTime_FromTimespec() raises, and a caller of C has no thread state.
    if (ts->tv_sec >= PyTime_MAX / 1000000000) {
        return PyTime_MAX;
    }
    return (PyTime_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

// The current thread, which has no GIL, lets others run, as its slice has ended, or it
// shall look.
extern void _PyPth_EndSlice(_PyPth_thread *self);
extern volatile int _PyPth_slice_expired;
#define _PyPth_LOOK 2                     // it shall only look
extern unsigned long _PyPth_slices;       // how many have ended
// Hand over to another thread, which does not compute with `urgent_alone`, and come
// back in turn.  Return false if there is none.
extern int _PyPth_RunOthers(_PyPth_thread *self, int urgent_alone);

// The calling thread, which is out, comes in when it is its turn.
extern void _PyPth_TakeTurn(_PyPth_thread *self);

/* pth_gil.c */

// For the monitor, which has locked the backend.  Ask those who have held a
// GIL for a slice while others wait for it.  Return the shortest of their slices,
// or 0 if no GIL is waited for.
extern PyTime_t _PyPth_CheckGILs(PyTime_t now);
// Nanoseconds of a time slice under this GIL (sys.setswitchinterval()), or, if it
// is NULL, the default.
extern PyTime_t _PyPth_SliceOf(struct _gil_runtime_state *gil);
// More than one GIL has been taken, ever.
extern volatile int _PyPth_several_gils;
// Could somebody run who has taken another GIL than `thread`?
extern int _PyPth_HasOtherGIL(_PyPth_thread *thread);
// The current thread has used up its slice, or shall look for others that have
// just been woken.
extern void _PyPth_EndSliceOf(_PyPth_thread *thread, int only_look);
// What _PyPth_Ticks() counts in a microsecond.
extern uint64_t _PyPth_us_ticks;
// See _PyPth_GILDropped().
extern volatile int _PyPth_time_calls;
// The thread is in a call without the GIL that was timed, and takes long.
extern int _PyPth_IsInLongCall(_PyPth_thread *thread);
// The thread has made none yet.
extern void _PyPth_BeginCalls(_PyPth_thread *self);
// The call that it is in is a long one, in which it computes or `blocks`.
extern void _PyPth_CallIsLong(_PyPth_thread *thread, int blocks);
// In the child of a fork.
extern void _PyPth_ForgetGILs(void);

/* thread_pth.h */

// The keys that PyThread_tss_create() has made.
extern char _PyPth_tss_keys[];

/* pth_monitor.c */

// Start a kernel thread of the backend's own, that never ends and takes no
// signals.  Return 0, or -1 and errno.  Not locked.
extern int _PyPth_StartKernel(void *(*func)(void *));
extern int _PyPth_nown_kernels;           // those
// See that the monitor runs.  Return 0, or -1 and errno.  Called by who starts
// something, not locked.
extern int _PyPth_StartMonitor(void);
// Is there none?  If there is, it looks.
extern int _PyPth_NeedsMonitor(void);
// The process has something to do: the monitor shall watch.  While threads hand
// over to each other it need not be told, even if it has a nap.
#define _PyPth_SLEEPS 1
extern volatile int _PyPth_monitor_sleeps;
extern void _PyPth_WakeMonitor(void);
static inline void
_PyPth_TellMonitor(void)
{
    if (_PyPth_monitor_sleeps == _PyPth_SLEEPS) {
        _PyPth_WakeMonitor();
    }
}
// In the child of a fork.
extern void _PyPth_ForgetMonitor(void);

/* pth_poll.c */

// The descriptors that threads wait for.
extern nfds_t _PyPth_nfds_waiting;
// A thread waits for no more than so many at once.
#define _PyPth_FEW_FDS 8
// A thread's wait for one descriptor in the epoll set.
typedef struct _PyPth_fdwait {
    _PyPth_thread *thread;
    struct pollfd *p;
    struct _PyPth_fdwait *next, *prev;    // for the same descriptor
} _PyPth_fdwait;
// `thread` waits for the descriptors `fds`, until it is woken; in `room` it is
// noted which ones.
// Return 0, or -1 if they cannot be waited for.
extern int _PyPth_InsertFds(_PyPth_thread *thread, struct pollfd *fds,
                            nfds_t nfds, int flags,
                            _PyPth_fdwait room[_PyPth_FEW_FDS]);
extern void _PyPth_RemoveFds(_PyPth_thread *thread);
// Wait until a descriptor is ready, or a signal comes in that `mask` lets
// through (NULL: the mask is left alone), but at most for `timeout`, which is
// relative (NULL: only look).  The kernel reads it as the wait begins: a signal
// handler that sets it to 0 before that ends the wait.  The backend is not locked
// meanwhile.  Wake the threads whose descriptors are ready.  Keeps errno.
extern void _PyPth_PollFds(volatile struct timespec *timeout,
                           const sigset_t *mask);
// What to ask poll() for to know when it has something to find.  Return the number
// of descriptors.
extern nfds_t _PyPth_CopyFds(struct pollfd fds[_PyPth_FEW_FDS + 1]);
// The descriptors from `first` to `last` are about to be closed.  Not locked.
extern void _PyPth_ClosingFds(unsigned int first, unsigned int last);
// In the child of a fork.
extern void _PyPth_ForgetFds(void);
// A descriptor of the backend gets a number that is out of the program's way, if
// RLIMIT_NOFILE allows that.  Return it, or -1 for -1.  Keeps errno.
extern int _PyPth_MoveFd(int fd);

// A stream that a thread waits for with _PyPth_EDGES, which says that it was
// found to block for ever.  Later waits with _PyPth_EDGES take that for
// granted, and the program does not have to ask.
extern int _PyPth_HasEdges(int fd);
// The program changes how the stream blocks: from now on it is asked again.
extern void _PyPth_ForgetEdges(int fd);
// A read has taken less than it asked for, that is all there was.
extern void _PyPth_Drained(int fd);
// Nothing has come in since.
extern int _PyPth_IsDrained(int fd);
// Are there waits for which that was only taken for granted?
extern int _PyPth_Unchecked(void);
// Check it.
extern void _PyPth_CheckWaits(void);

/* pth_signal.c */

// The signal by which the backend interrupts a kernel thread.
#define _PyPth_SIGNAL (SIGRTMAX - 1)
// Handle it and let it through.  Return 0, or -1 and errno.
extern int _PyPth_TakeSignal(void);
// Send it to the kernel thread `tid`: async-signal-safe.  NULL: its wait in the
// kernel shall end.  Else it is that of `kernel`: who runs there shall leave it.
extern void _PyPth_SendSignal(pid_t tid, _PyPth_thread *kernel);
// A `kernel` that means: end the call that is made there.
#define _PyPth_INTERRUPT ((_PyPth_thread *)1)
// It has come (pth_takeover.c).
extern void _PyPth_Kicked(void);
// Does the kernel thread wait in the kernel for all, and is not to any more?
extern int _PyPth_IsKicked(pid_t tid);
// The mask of the kernel thread, which lets the backend's signal through.
extern uint64_t _PyPth_GetSignalMask(void);
// That of the first one, when another one starts the first thread.
extern void _PyPth_FindFirstMask(void);
// `thread` begins with the mask of whoever has started it.  Locked.
extern void _PyPth_MaskInherited(_PyPth_thread *thread);
// The calling thread has changed its mask.
extern void _PyPth_MaskChanged(int how, const sigset_t *set,
                               const sigset_t *before);
// Threads have come or gone: the shared mask has to be made anew.
extern void _PyPth_MaskStale(void);
// True once a thread has changed its mask while others lived.
extern char _PyPth_masks_differ;
// The signals that all threads of Pth block.  NULL: just those that each
// blocks.
extern const sigset_t *_PyPth_SharedMask(void);
// For the monitor: signals that wait in the kernel, because only threads let
// them through that are in and do not run, are sent to one of those.
extern void _PyPth_CollectSignals(void);
// A handler of C was about to run where the backend is locked: put the signal
// aside.  Async-signal-safe.
// `target`: what _PyPth_GetOriginalInfo() has returned.
extern void _PyPth_DeferSignal(int signum, const siginfo_t *info,
                               _PyPth_thread *target);
extern volatile int _PyPth_deferred;      // there is one
// In a handler: what the kernel told of the signal before it was put aside.
// Return the thread that it was sent to then, or NULL if it was not.
extern _PyPth_thread *_PyPth_GetOriginalInfo(int signum, siginfo_t *info);
// Send them to the threads that are to run the handlers.  Locked.
extern void _PyPth_SendDeferred(void);
// Now, and run those that are the calling thread's.  Not locked.
extern void _PyPth_FlushSignals(void);
// In the child of a fork.
extern void _PyPth_ForgetSignals(void);
// Send the calling thread what was sent to it while it did not run.
extern void _PyPth_DeliverPending(_PyPth_thread *self);
// It is about to leave its own kernel thread: what waits there goes along.
extern void _PyPth_TakeFromHome(_PyPth_thread *self);
// For the monitor: the same for the thread that runs on the carrier.
extern void _PyPth_SendPending(_PyPth_thread *thread);
// For the monitor: end the call of the main thread if that does not know of a
// signal.  Return true if it may have to be done again.  Locked.
extern int _PyPth_InterruptMain(void);
// Does the thread block the signal, where it is now?
static inline int
_PyPth_Blocks(_PyPth_thread *thread, int signum)
{
    uint64_t mask = _Py_atomic_load_int_acquire(&thread->has_call_mask)
                    ? thread->call_mask : thread->sigmask;
    return (mask & PTH_SIGNAL_BIT(signum)) != 0;
}
// The calling thread is about to wait for signals: it goes to its own kernel
// thread, and what is pending for it alone with it.  `mask`: that of the call, or
// NULL if it has none.
extern void _PyPth_TakeSignalsHome(const sigset_t *mask);
// The call with that mask is over.
static inline void
_PyPth_LeaveCallMask(void)
{
    if (_PyPth_self != NULL) {
        _PyPth_self->has_call_mask = 0;
    }
}
// Does `thread` let one of these signals through?
extern int _PyPth_TakesSignal(_PyPth_thread *thread, uint64_t set);
// _PyPth_Kill() for a native ID.  Return -1 if no thread has it.
extern int _PyPth_KillTid(pid_t tid, int signum);
// Take the backend's signal out of a mask that is to be blocked.
extern void _PyPth_UnblockSignal(sigset_t *mask);
// All signals but what _PyPth_SendSignal() sends, and PTH_SIGSETXID.
extern uint64_t _PyPth_AllOtherSignals(void);
// sigaction() of the program for the backend's signal.  Programs set all
// signals to SIG_DFL, and this one would end them: it is only noted.  Return
// false if `signum` is another one, or not ours yet.
extern int _PyPth_SignalAction(int signum, const struct sigaction *action,
                               struct sigaction *old);

/* pth_syscalls.c */

// pth_init() gets this pipe when it asks for one, see _PyPth_Start().
extern int _PyPth_pipe_for_init[2];
// The C library's own poll() with a timeout of 0.
extern int _PyPth_PollNow(struct pollfd *fds, nfds_t nfds);
// Does the socket block, without a time limit for what comes in?
extern int _PyPth_BlocksForEver(int fd);
// The C library's own functions.
extern int _PyPth_sys_sigaction(int signum, const struct sigaction *action,
                                struct sigaction *old);
extern int _PyPth_sys_sigmask(int how, const sigset_t *set, sigset_t *old);
extern int _PyPth_sys_sigaltstack(const stack_t *stack, stack_t *old);
extern int _PyPth_sys_pthread_kill(pthread_t thread, int signum);
extern void _PyPth_sys_pthread_exit(void *value);
// The handler of the signal is called by way of ours.
extern int _PyPth_HasHandler(int signum);
// Does a blocking call stop its own thread alone, by way of the mapping?
extern int _PyPth_map_syscalls;

/* pth_sys_file.c */

// The descriptors from `first` to `last` may become other files.
// Async-signal-safe.
#ifdef HAVE_PTH_SYSCALLS
extern void _PyPth_ForgetKinds(unsigned int first, unsigned int last);
#else
#  define _PyPth_ForgetKinds(first, last) ((void)0)
#endif

#endif  // !Py_PTH_INTERNAL_H
