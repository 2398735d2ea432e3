// The GNU Pth thread backend (./configure --with-pth).
//
// Each Python thread is a pthread, with a stack, a thread pointer and a kernel
// thread of its own.  While it runs Python code and waits in ways that the
// backend knows, GNU Pth schedules it: one kernel thread at a time, the
// carrier, runs such threads, on their stacks and with their thread pointers,
// and their own kernel threads are parked.  A thread that is stuck in C code
// is left behind on the kernel thread that it is on, and another one becomes
// the carrier.
//
// Who does what:
//   Python/thread_pth.h    the PyThread API: threads, locks, TSS keys
//   Python/pth_thread.c    thread records: start, finish, join, fork
//   Python/pth_lock.c      the lock of the backend
//   Python/pth_kernel.c    kernel threads: what belongs to each, whoever runs there
//   Python/pth_takeover.c  who carries, who comes in, who is left behind
//   Python/pth_guests.c    who is on another one's kernel thread, and is sent away
//   Python/pth_machine.h   the switch of stacks and thread pointers, and
//   Python/pth_amd64.h, pth_arm64.h  its part for each machine
//   Python/pth_wait.c      waiting and waking: queues, timers, hand-offs
//   Python/pth_gil.c       who gets the GIL, and how long calls without it take
//   Python/pth_kernel_calls.c  calls about the kernel thread of the caller
//   Python/pth_monitor.c   the watch: time slices, threads that are stuck
//   Python/pth_context.c   the switch of a libpth without our patches
//   Python/pth_cputime.c   the processor time of a thread
//   Python/pth_go.c        libraries that are written in Go
//   Python/pth_poll.c      the descriptors that threads wait for
//   Python/pth_signal.c    signals for one thread, signal masks
//   Python/pth_syscalls.c  the system call mapping: blocking calls of the C
//   Python/pth_sys_*.c     library that let other threads run
//   Python/pth_internal.h  what these files share
//
// This header needs no <pth.h>: code that includes the internal headers
// compiles without it.

#ifndef Py_INTERNAL_PTH_H
#define Py_INTERNAL_PTH_H
#ifdef __cplusplus
extern "C" {
#endif

#ifndef Py_BUILD_CORE
#  error "this header requires Py_BUILD_CORE define"
#endif

#ifdef HAVE_PTH

#if PY_VERSION_HEX < 0x030F0000
// Not where Py_BUILD_CORE came after Python.h: Modules/_testcapi/immortal.c.
#  ifndef _Py_thread_local
#    define _Py_thread_local __thread
#  endif
#endif

struct _PyPth_thread;
struct _gil_runtime_state;
struct pollfd;

/* The lock of the backend: all that it knows is changed under it.  While a
   thread runs that GNU Pth schedules, the lock is set to that thread, which
   takes it without asking anybody. */

extern _Py_thread_local struct _PyPth_thread *_PyPth_self;
extern _Py_thread_local char _PyPth_inside;
extern struct _PyPth_thread *_PyPth_lock;
extern struct _PyPth_thread *_PyPth_after;
extern unsigned long _PyPth_entries;
extern void _PyPth_LockSlowly(void);
// Somebody was woken while another thread ran on the carrier than the one that
// has woken it.  If that one is in C code, see that somebody else carries: then
// return true, and the backend is not locked any more.
extern char _PyPth_woken_behind;
extern int _PyPth_TakeFromCall(void);

// How many threads were inside of the backend when a signal told them to do
// something that they could not do there: they do it when they are not any more.
extern int _PyPth_npostponed;
extern void _PyPth_DoPostponed(void);

#define _PyPth_BUSY ((struct _PyPth_thread *)1)

static inline void
_PyPth_Lock(void)
{
    struct _PyPth_thread *self = _PyPth_self, *held = self;
    assert(!_PyPth_inside);
    _PyPth_inside = 1;
    if (self != NULL
        && _Py_atomic_compare_exchange_ptr(&_PyPth_lock, &held, _PyPth_BUSY))
    {
        _PyPth_after = self;
        return;
    }
    _PyPth_LockSlowly();
}

extern int _PyPth_lock_sleepers;
extern void _PyPth_WakeForLock(void);

// What the lock holds from now on is not _PyPth_BUSY.
static inline void
_PyPth_UnlockAs(struct _PyPth_thread *value)
{
    _Py_atomic_store_ptr_release(&_PyPth_lock, value);
    if (_Py_atomic_load_int_relaxed(&_PyPth_lock_sleepers) > 0) {
        _PyPth_WakeForLock();
    }
}

static inline void
_PyPth_Unlock(void)
{
    assert(_PyPth_inside);
    if (_PyPth_after == _PyPth_self) {
        _PyPth_entries++;
    }
    else if (_PyPth_woken_behind && _PyPth_TakeFromCall()) {
        return;
    }
    _PyPth_UnlockAs(_PyPth_after);
    _PyPth_inside = 0;
    if (_Py_atomic_load_int_relaxed(&_PyPth_npostponed) > 0) {
        _PyPth_DoPostponed();
    }
}

/* Waiting */

// Threads that wait for the same thing, served first in, first out.  All zero
// is an empty queue.  After a fork the child finds the parent's waiters gone:
// a queue of an older generation is empty, whatever it holds.
typedef struct {
    struct _PyPth_thread *head;
    struct _PyPth_thread *tail;
    unsigned int generation;
} _PyPth_queue;

// How a wait ended.
typedef enum {
    _PyPth_WOKEN = 1,             // by _PyPth_Wake() or a ready descriptor
    _PyPth_TIMEOUT,               // the deadline has passed
    _PyPth_INTR,                  // a signal came in, and the caller asked
    _PyPth_ERROR,                 // it cannot be waited for
    _PyPth_PROMISED,              // the GIL is kept for the caller
} _PyPth_result;

// Flags of a wait.
#define _PyPth_INTERRUPTIBLE 1    // a signal ends it with _PyPth_INTR
                                  // (the main thread only)
#define _PyPth_NEW_SIGNALS 2      // but not for one that came in before
#define _PyPth_AT_FRONT 4         // line up before the others
#define _PyPth_REVENTS 8          // _PyPth_WaitFds(): set `revents` of all
#define _PyPth_EDGES 16           // _PyPth_WaitFds(): see _PyPth_HasEdges()
#define _PyPth_ONE_TAKES 32       // _PyPth_WaitFds(): of those who say so,
                                  // wake one for what one will take
#define _PyPth_FOR_TURN 64        // it is for its turn, the GIL, alone: who computes
                                  // is one that computes afterwards, too

#define _PyPth_FOREVER ((PyTime_t)-1)

// Block the calling thread until it is woken out of `queue` (which may be
// NULL), or until `deadline` (nanoseconds of the monotonic clock,
// or _PyPth_FOREVER).  Called, and returns, with the backend locked.  Keeps
// errno.
extern _PyPth_result _PyPth_Wait(_PyPth_queue *queue, PyTime_t deadline,
                                 int flags);

// Block the calling thread until one of the `nfds` descriptors (8 at most) is
// ready, as poll() defines it, or until `deadline`.  When it returns
// _PyPth_WOKEN, one is likely to be, and `revents` has POLLNVAL if another
// thread has closed it; with _PyPth_REVENTS, `revents` of each is right.
// _PyPth_ERROR: this cannot be waited for here.  Keeps errno.  The backend is
// not locked.
extern _PyPth_result _PyPth_WaitFds(struct pollfd *fds, unsigned long nfds,
                                    PyTime_t deadline, int flags);

// Wake the first waiter of `queue`, or all of them.  Switches to nobody: the
// woken run when the caller waits next, or when its time slice ends.  Called
// with the backend locked.  Return the number of threads woken.
extern int _PyPth_Wake(_PyPth_queue *queue);
extern int _PyPth_WakeAll(_PyPth_queue *queue);

// Nanoseconds of the monotonic clock, some milliseconds late: enough to be fair to
// who waits for a lock (lock.c), and hand-offs need not read the processor's
// clock, which is slow on virtual machines.
extern PyTime_t _PyPth_CoarseTime(void);

// The deadline that lies `ns` nanoseconds ahead (`ns` < 0: never).
extern PyTime_t _PyPth_Deadline(PyTime_t ns);

// Called by the signal handler of signalmodule.c: wake the main thread.
// Async-signal-safe.
extern void _PyPth_SetSignalHandler(void (*handler)(int));
extern void _PyPth_SignalReceived(int signum);

/* The GIL (see pycore_condvar.h).  The mutexes that go with its condition
   variables are all the lock of the backend. */

typedef char _PyPth_mutex;
typedef struct _PyPth_cond {
    _PyPth_queue waiters;
    _PyPth_queue computing;       // they compute, and come behind the others
    struct _PyPth_thread *passed;         // the first of them when the monitor looked,
    PyTime_t passed_since;                // and when it saw that for the first time
    char turn_of_computing;       // it has waited for a slice, and comes first
    _PyPth_queue switched;        // they wait for another thread to take it
    char handing;                 // a waiter is woken, and has not taken it
    char owed;                    // the first waiter has its turn
    char promised;                // nobody else takes it
    char quick;                   // who has taken it is scheduled by Pth
    struct _PyPth_cond *next_waited;      // in the list of the monitor
    char waited;                  // is in it
    PyTime_t since;               // when its holder was first seen, or 0
    unsigned long seen;           // the number of switches then
} _PyPth_cond;

static inline int
_PyPth_MutexLock(void)
{
    _PyPth_Lock();
    return 0;
}

static inline int
_PyPth_MutexUnlock(void)
{
    _PyPth_Unlock();
    return 0;
}

extern void _PyPth_CondWakeFirst(_PyPth_cond *cond);
// Nobody waits any more: the monitor does not look at it, and it may go away.
extern void _PyPth_CondForget(_PyPth_cond *cond);

static inline int
_PyPth_CondSignal(_PyPth_cond *cond)
{
    if (cond->waiters.head != NULL || cond->computing.head != NULL) {
        _PyPth_CondWakeFirst(cond);
    }
    else if (cond->waited) {
        _PyPth_CondForget(cond);
    }
    return 0;
}

// Nobody waits.  Its memory may have been another one's.
extern void _PyPth_CondInit(_PyPth_cond *cond);
// It goes away, and its GIL with it.
extern void _PyPth_CondFini(_PyPth_cond *cond);

// Wait until signalled.  The waiters of the GIL need no time-out, by which
// they ask its holder to drop it: the monitor asks (pth_monitor.c).  A
// thousand of them would do nothing else than time out.
extern _PyPth_result _PyPth_CondWait(_PyPth_cond *cond);

// Before the caller looks whether it can take the GIL: wait while that is
// promised to another thread.
static inline void
_PyPth_AwaitPromised(_PyPth_cond *cond)
{
    while (cond->promised && _PyPth_CondWait(cond) != _PyPth_PROMISED) {
    }
}

// The calling thread has dropped its GIL: end its time slice if it has used
// it up, and make room for the others if its next call is likely to be long.
// `tstate` is NULL when it was the last time.
extern void _PyPth_GILDropped(struct _gil_runtime_state *gil,
                              PyThreadState *tstate);
// It has taken it, and the backend is locked.
extern void _PyPth_GILTaken(struct _gil_runtime_state *gil);

/* The parking lot (parking_lot.c, pycore_semaphore.h) */

// Make memory zero again that was so when the process began, or when it was mapped.
// In the child of a fork that costs less than to write to pages which it has from its
// parent, and many of which neither of them needs.
extern void _PyPth_Clear(void *memory, size_t size);

typedef struct {
    int counter;
    _PyPth_queue waiters;
} _PyPth_sem;

// Around a wait of the calling thread, before it drops its GIL.
extern void _PyPth_SemInit(_PyPth_sem *sem);
extern void _PyPth_SemDestroy(_PyPth_sem *sem);
// Wait until the counter is above 0 and take 1 off it; `ns` nanoseconds at the
// most, forever if `ns` < 0.
extern _PyPth_result _PyPth_SemWait(_PyPth_sem *sem, PyTime_t ns);
extern void _PyPth_SemPost(_PyPth_sem *sem);

/* Time slices */

// Let the other threads run, if any can: called without the GIL.
extern void _PyPth_Yield(void);
// The same if any can that has not used up its time slice: for who asks without
// waiting, as in poll() with a timeout of 0.
extern void _PyPth_YieldToWaiting(void);

/* The system call mapping */

// Switch the mapping on, if it is built, or off.
extern void _PyPth_MapSyscalls(int on);

/* Threads */

// The number of threads of the process, those of libraries and the main thread
// included, but none of the backend's own.
extern int _PyPth_ThreadCount(void);

// The arena allocator: _PyMem_ArenaAlloc() and _PyMem_ArenaFree(), but data
// stacks of threads that have ended are kept for others.
extern void *_PyPth_ArenaAlloc(void *ctx, size_t size);
extern void _PyPth_ArenaFree(void *ctx, void *memory, size_t size);

// pthread_kill() for the ident of a thread: return 0 or an errno value.
extern int _PyPth_Kill(unsigned long ident, int signum);

#endif  // HAVE_PTH

#ifdef __cplusplus
}
#endif
#endif  // !Py_INTERNAL_PTH_H
