// The GNU Pth thread backend (./configure --with-pth).
//
// All Python threads of a process run as GNU Pth threads on one kernel thread,
// the one that initialized Python: only one of them runs at a time, and
// control goes from one to another only inside the functions of this file.
// What they share needs therefore neither atomics nor locks of its own.
//
// Who does what:
//   Python/thread_pth.h    the PyThread API: threads, locks, TSS keys
//   Python/pth_thread.c    thread records: start, finish, join, fork
//   Python/pth_stack.c     the stacks that threads run on
//   Python/pth_wait.c      waiting and waking: queues, timers
//   Python/pth_context.c   the switch from one thread to another
//   Python/pth_poll.c      the descriptors that threads wait for
//   Python/pth_signal.c    a signal mask a thread
//   Python/pth_slice.c     the time slice that preempts a computing thread
//   Python/pth_syscalls.c  the system call mapping: blocking calls of the C
//   Python/pth_sys_*.c     library that let other threads run
//   Python/pth_offload.c   those that a kernel thread of its own makes
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

#include <signal.h>               // sig_atomic_t

struct _PyPth_thread;
struct pollfd;

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
    _PyPth_ERROR,                 // no memory; errno is set
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

#define _PyPth_FOREVER ((PyTime_t)-1)

// Block the calling thread until it is woken out of `queue` (which may be
// NULL), or until `deadline` (nanoseconds of the monotonic clock,
// or _PyPth_FOREVER).  Keeps errno.
extern _PyPth_result _PyPth_Wait(_PyPth_queue *queue, PyTime_t deadline,
                                 int flags);

// Block the calling thread until one of the `nfds` descriptors is ready, as
// poll() defines it, or until `deadline`.  When it returns _PyPth_WOKEN, one
// is likely to be, and `revents` has POLLNVAL if another thread has closed it;
// with _PyPth_REVENTS, `revents` of each is right.  Keeps errno, but for
// _PyPth_ERROR.
extern _PyPth_result _PyPth_WaitFds(struct pollfd *fds, unsigned long nfds,
                                    PyTime_t deadline, int flags);

// Wake the first waiter of `queue`, or all of them.  Switches to nobody: the
// woken run when the caller waits next, or when its time slice ends.
// Return the number of threads woken.
extern int _PyPth_Wake(_PyPth_queue *queue);
extern int _PyPth_WakeAll(_PyPth_queue *queue);

// The deadline that lies `ns` nanoseconds ahead (`ns` < 0: never).
extern PyTime_t _PyPth_Deadline(PyTime_t ns);

// Called by the signal handler of signalmodule.c: wake the main thread.
// Async-signal-safe.
extern void _PyPth_SignalReceived(int signum);

/* Condition variables of the GIL (see pycore_condvar.h).  The mutex that goes
   with one is never held across a switch but by the wait itself, so it has
   nothing to do. */

typedef char _PyPth_mutex;
typedef _PyPth_queue _PyPth_cond;

static inline int
_PyPth_CondSignal(_PyPth_cond *cond)
{
    if (cond->head != NULL) {
        (void)_PyPth_Wake(cond);
    }
    return 0;
}

// Let the waiters and the threads that are ready run once, see pth_wait.c.
extern void _PyPth_CondFini(_PyPth_cond *cond);

// Wait until signalled.  The waiters of the GIL need no time-out, by which
// they ask its holder to drop it: the time slice asks (pth_slice.c).  A
// thousand of them would do nothing else than time out.
extern void _PyPth_CondWait(_PyPth_cond *cond);

/* Semaphores of the parking lot (see pycore_semaphore.h) */

typedef struct {
    int counter;
    _PyPth_queue waiters;
} _PyPth_sem;

// Wait until the counter is above 0 and take 1 off it; `ns` nanoseconds at the
// most, forever if `ns` < 0.
extern _PyPth_result _PyPth_SemWait(_PyPth_sem *sem, PyTime_t ns);
extern void _PyPth_SemPost(_PyPth_sem *sem);

/* Time slices */

// True when the running thread has used up its time slice, or _PyPth_LOOK: it
// shall look whether a thread that waits can go on.  Set by a signal handler,
// cleared by _PyPth_EndSlice().
extern volatile sig_atomic_t _PyPth_slice_expired;
#define _PyPth_LOOK 2

// Let the other threads run, if any can: called without the GIL.  After a look
// only those that have just been woken.
extern void _PyPth_EndSlice(void);

// Set the length of the time slice in microseconds (sys.setswitchinterval()).
extern void _PyPth_SetSlice(unsigned long us);

// Let the next thread run that can, if any, whoever's slice it is.
extern void _PyPth_Yield(void);

// Does a blocking call stop its own thread alone?
extern int _PyPth_map_syscalls;

// The calling thread has dropped the GIL.  Where a blocking call stops all
// threads, it may be about to make one: those that can run do so first.
static inline void
_PyPth_GILDropped(void)
{
    if (_PyPth_slice_expired) {
        _PyPth_EndSlice();
    }
    else if (!_PyPth_map_syscalls) {
        _PyPth_Yield();
    }
}

// _PyPth_EndSlice() if the slice has expired and the caller has no GIL: for
// places that threads pass often without the GIL.
extern void _PyPth_CheckSlice(void);

/* The watchdog of faulthandler.dump_traceback_later() */

// Call func() in a signal handler `us` microseconds from now, and as long
// again after each time that it returned true.  Only one at a time.  Return 0,
// or -1 and errno.
extern int _PyPth_StartWatchdog(PyTime_t us, int (*func)(void));
extern void _PyPth_StopWatchdog(void);

/* The system call mapping */

// Switch the mapping on ("1") or off ("0") by the value of PYTHONPTHSYSCALLS
// (NULL: as built).  Return 0, or -1 if the value is another.
extern int _PyPth_InitSyscalls(const char *value);

/* Threads */

// True where the calling kernel thread is the one that runs Python threads:
// its thread-local mark is the one that was noted.
extern _Py_thread_local char _PyPth_mark;
extern char *_PyPth_kernel_mark;

static inline int
_PyPth_IsKernelThread(void)
{
    return &_PyPth_mark == _PyPth_kernel_mark;
}

extern void _Py_NO_RETURN _PyPth_ForeignThread(const char *func);

// Die if the kernel thread that calls `func` is a foreign one: it cannot run
// Python code, and would corrupt the thread that does.  Otherwise return 0.
static inline int
_PyPth_CheckKernelThread(const char *func)
{
    if (!_PyPth_IsKernelThread()) {
        _PyPth_ForeignThread(func);
    }
    return 0;
}

// The number of Python threads alive, the main thread included.
extern int _PyPth_ThreadCount(void);

// pthread_kill() and pthread_getcpuclockid() for the ident of a Python thread:
// return 0 or an errno value, ESRCH where no such thread is alive.
extern int _PyPth_Kill(unsigned long ident, int signum);
extern int _PyPth_GetCpuClockId(unsigned long ident, clockid_t *clk_id);

#endif  // HAVE_PTH

#ifdef __cplusplus
}
#endif
#endif  // !Py_INTERNAL_PTH_H
