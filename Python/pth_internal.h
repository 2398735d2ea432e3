// What the files of the GNU Pth backend share.  See pycore_pth.h for the files
// and for what the rest of CPython may use.

#ifndef Py_PTH_INTERNAL_H
#define Py_PTH_INTERNAL_H

#include "Python.h"
#include "pycore_pystate.h"       // _Py_tss_tstate
#include "pycore_pth.h"           // _PyPth_queue
#include "pycore_time.h"          // PyTime_MonotonicRaw()

#include <errno.h>
#include <poll.h>
#include <pth.h>
#include <pthread.h>              // pthread_self()
#include <setjmp.h>
#include <signal.h>               // sig_atomic_t
#include <stdlib.h>               // malloc(), see below
#include <time.h>                 // timer_t

// The backend takes its memory from malloc() itself.  Threads outlive
// Py_Finalize(), and the allocators that are set for the next Py_Initialize();
// and PyMem_RawMalloc() may come here: tracemalloc keeps a TSS value.

// Where a thread is, seen from the scheduler.
typedef enum {
    PTH_RUNNING,                  // the current thread
    PTH_READY,                    // in Pth's queues of new and ready threads
    PTH_AWAITING,                 // in pth_cond_await()
} _PyPth_place;

// One record a Python thread.  Its address is the thread's ident.
typedef struct _PyPth_thread {
    pth_t tid;                    // NULL before pth_init(): the main thread

    /* The scheduler's view (pth_wait.c) */
    _PyPth_place place;
    char suspended;               // taken out of Pth's waiting queue
    char counted;                 // counted in `nready`
    char urgent;                  // counted in `nurgent`
    char computes;                // its slice ended, and no wait since
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
    struct _PyPth_fdwait *fdwaits;        // or NULL
    char hinted;                  // the last `revents` may be wrong
    char unchecked;               // see _PyPth_CheckWaits()
    struct _PyPth_thread *woken_next;     // in the list of the woken
    struct _PyPth_thread *await_next, *await_prev;  // awaiting, not suspended
    unsigned int signals_seen;    // signals that have ended a wait

    /* The thread itself (pth_thread.c) */
    struct _PyPth_thread *all_next, *all_prev;
    unsigned int number;          // of the start: 0 is the first thread
    void (*func)(void *);
    void *arg;
    sigset_t start_mask;          // of the thread that started it
    sigjmp_buf exit_jump;         // where PyThread_exit_thread() goes
    struct _PyPth_job *job;       // what joiners wait for
    char *stack;
    size_t stacksize;             // as asked for: 0 is the default
#ifdef WITH_VALGRIND
    unsigned int valgrind_stack;  // what valgrind calls its stack
#endif
#ifdef _Py_ADDRESS_SANITIZER
    const void *asan_stack;       // where it is for the sanitizer
    size_t asan_size;
    void *asan_fake_stack;        // its own, while the thread is away
#endif
    struct _PyPth_thread *parked_next;

    /* Signals (pth_signal.c) */
    sigset_t sigmask;             // its mask
    sigset_t pending;             // sent to it while it blocked them,
    char has_pending;             // if any ever was
    char has_waitmask;            // waits with another mask
    sigset_t waitmask;
    const sigset_t *sigwait;      // what it waits for in sigwait(), or NULL

    int entry_errno;              // when a mapped call began (pth_syscalls.h)

    /* Thread specific storage (thread_pth.h) */
    struct {
        void *value;
        unsigned int sequence;    // of the key when the value was set
    } *tss;
    int ntss;
} _PyPth_thread;

extern _PyPth_thread _PyPth_main;         // the thread that initialized Python
extern _PyPth_thread *_PyPth_threads;     // those alive, linked by all_next
extern _PyPth_thread *_PyPth_current;     // the running thread
extern unsigned int _PyPth_generation;    // forks since the process began
extern volatile sig_atomic_t _PyPth_nthreads;     // threads alive, or
                                                  // being started

// The kernel thread that runs Python threads.
extern pthread_t _PyPth_kernel_thread;
extern pid_t _PyPth_kernel_pid, _PyPth_kernel_tid;

/* pth_thread.c */

// The version suffix of a libpth with the patches of this repository (pth/),
// or NULL: the plain one.  With it
// - waiting threads cost the scheduler nothing, so there is no need to suspend
//   them;
// - a switch carries the signal mask along that was set by pth_sigmask().
extern const char *_PyPth_LibraryPatches(void);

extern int _PyPth_Start(void (*func)(void *), void *arg, size_t stacksize,
                        int detached, Py_uintptr_t *ident,
                        struct _PyPth_job **job);
extern void _PyPth_Join(struct _PyPth_job *job);
extern void _PyPth_Detach(struct _PyPth_job *job);
extern void _Py_NO_RETURN _PyPth_Exit(void);
// Take the calling kernel thread for the one that runs Python threads.
extern void _PyPth_Adopt(void);
// The thread alive with this ident, or NULL.
extern _PyPth_thread *_PyPth_FindThread(unsigned long ident);

/* pth_stack.c */

// The size of a thread's stack in bytes where nobody asks for another:
// `ulimit -s`, 8 MiB where that is unlimited (as glibc's pthread_create()).
extern size_t _PyPth_DefaultStackSize(void);
// Give `thread` a stack of `size` bytes above a guard page.  Return 0, or -1
// and errno.
extern int _PyPth_NewStack(_PyPth_thread *thread, size_t size);
extern void _PyPth_FreeStack(_PyPth_thread *thread, size_t size);
// The kernel thread has left the stack of `from` for that of `to`.
#ifdef _Py_ADDRESS_SANITIZER
extern void _PyPth_SwitchedStack(_PyPth_thread *from, _PyPth_thread *to);
#else
#  define _PyPth_SwitchedStack(from, to) ((void)0)
#endif

/* pth_wait.c */

static inline int
_PyPth_IsBlocked(_PyPth_thread *thread)
{
    return thread->waiting && thread->result == 0;
}

// A new thread is in Pth's queue: it counts as ready.
extern void _PyPth_Ready(_PyPth_thread *thread);
// The calling thread runs for the first time.
extern void _PyPth_Enter(_PyPth_thread *self);
// Wait until `self->func` is set; never return if `surplus` and another thread
// is ready, but end the calling thread by way of `leave`.
extern void _PyPth_Park(_PyPth_thread *self, int surplus,
                        void (*leave)(_PyPth_thread *));
// End the wait of `thread` with `result`.
extern void _PyPth_WakeThread(_PyPth_thread *thread, _PyPth_result result);
// Make room for the deadlines of `nthreads` threads.  Return 0, or -1.
extern int _PyPth_ReserveTimers(int nthreads);
// In the child of a fork: no other thread waits or is ready any more.
extern void _PyPth_ForgetOthers(void);
// True if a thread waits for a descriptor or has a deadline.
// Async-signal-safe.
extern int _PyPth_SomeoneWaits(void);
// True if a thread whose slice has ended could go on.
extern int _PyPth_SomeoneComputes(void);
// A signal has come in: do not go to sleep, or wake up.  Async-signal-safe;
// for handlers that run in the kernel thread that runs Python.
extern void _PyPth_EndIdle(void);
// True between the call into Pth and the return from it.
extern int _PyPth_in_pth;

/* pth_poll.c */

// The descriptors that threads wait for.
extern nfds_t _PyPth_nfds_waiting;
// `thread` waits for the descriptors `fds`, until it is woken.
// Return 0, or -1 if there is no memory.
extern int _PyPth_InsertFds(_PyPth_thread *thread, struct pollfd *fds,
                            nfds_t nfds, int flags);
extern void _PyPth_RemoveFds(_PyPth_thread *thread);
// Wait until a descriptor is ready, or a signal comes in that `mask` lets
// through (NULL: the mask is left alone), but at most for `timeout`, which is
// relative and may be changed (NULL: only look).  Wake the threads whose
// descriptors are ready.  Return 1 if a signal handler was run instead, else
// 0.  Keeps errno.
extern int _PyPth_PollFds(volatile struct timespec *timeout,
                          const sigset_t *mask);
// Defined if the kernel reads `timeout` itself, at the beginning of the wait:
// then a signal handler that sets it to 0 before that ends the wait.  The C
// library's ppoll() copies it first (glibc, sysdeps/unix/sysv/linux/ppoll.c).
#if SIZEOF_LONG == 8
#  define _PyPth_TIMEOUT_IN_PLACE
#endif
// The descriptors from `first` to `last` are about to be closed.
extern void _PyPth_ClosingFds(unsigned int first, unsigned int last);
// In the child of a fork.
extern void _PyPth_ForgetFds(void);

// A stream that a thread waits for with _PyPth_EDGES, which says that it was
// found to block for ever.  Later waits with _PyPth_EDGES take that for
// granted, and the program does not have to ask.
extern int _PyPth_HasEdges(int fd);
// A read has taken less than it asked for, that is all there was.
extern void _PyPth_Drained(int fd);
// Nothing has come in since.
extern int _PyPth_IsDrained(int fd);
// Are there waits for which that was only taken for granted?
extern int _PyPth_Unchecked(void);
// Check it.
extern void _PyPth_CheckWaits(void);

/* pth_slice.c */

// Start the timer unless it runs.  Return 0, or -1 and errno.
extern int _PyPth_StartSlices(void);
// Handle the signal of the time slice and let it through.  Return 0, or -1 and
// errno.
extern int _PyPth_TakeSliceSignal(void);
// Make a timer that sends this signal, with `value` to tell what for, to the
// kernel thread that runs Python.  Return 0, or -1 and errno.
extern int _PyPth_CreateTimer(clockid_t clock, int value, timer_t *timer);
// Set it to expire in `first_ns` nanoseconds (0: never), and then every
// `then_ns` (0: not again).  Return 0, or -1 and errno.  Async-signal-safe.
extern int _PyPth_SetTimer(timer_t timer, long long first_ns,
                           long long then_ns);
// The process is about to wait, or has one thread: stop the timer that makes
// computing threads look whether others can go on.
extern void _PyPth_StopLooking(void);
// Make the kernel thread that runs Python return from a wait in the kernel.
// For other kernel threads; async-signal-safe.
extern void _PyPth_InterruptKernelThread(void);
// Make `thread`, another kernel thread, return with EINTR from the system call
// that it blocks in, if it does; until _PyPth_EndInterrupt(), within which no
// other Python thread may run.
extern void _PyPth_BeginInterrupt(void);
extern void _PyPth_Interrupt(pthread_t thread);
extern void _PyPth_EndInterrupt(void);
// Has the slice's signal ended a call that does not wait?  poll(), select()
// and their like return EINTR for a signal that is pending when they find
// nothing, SA_RESTART and timeouts of 0 notwithstanding (Linux, fs/select.c,
// do_poll() and core_sys_select()).  Another signal may have done so: the call
// is to be made again, as if that had come before it.  With one thread there
// is no such signal.  If so, errno is set back to `err`.
extern int _PyPth_SliceInterrupted(int result, int err);
// Add the signal of the time slice to the mask of a call that is not to be
// interrupted by it.
extern void _PyPth_BlockSlice(sigset_t *mask);
// Take the signal of the time slice out of a mask that is to be blocked: a
// thread that blocked it could not be preempted.
extern void _PyPth_UnblockSlice(sigset_t *mask);
// sigaction() of the program for the signal of the time slice.  Programs set
// all signals to SIG_DFL, and this one would end them: it is only noted.
// Return false if `signum` is another one, or not ours yet.
extern int _PyPth_SliceAction(int signum, const struct sigaction *action,
                              struct sigaction *old);
// In the child of a fork, which inherits no timer.
extern void _PyPth_ForgetSlices(void);

/* pth_watchdog.c; what faulthandler calls is in pycore_pth.h */

// The value that its signal has.
#define _PyPth_WATCHDOG 2
// The signal has come in: async-signal-safe.
extern void _PyPth_WatchdogExpired(void);
// In the child of a fork, which inherits no timer.
extern void _PyPth_ForgetWatchdog(void);

/* pth_signal.c */

// The mask of the kernel thread, with all unused bits 0.
extern void _PyPth_GetSignalMask(sigset_t *mask);
// Tell Pth the mask of the calling thread, where it has to be told.
extern void _PyPth_TellSignalMask(void);
// The calling thread has changed its mask.
extern void _PyPth_MaskChanged(void);
// Threads have come or gone: the shared mask has to be made anew.
extern void _PyPth_MaskStale(void);
// The signals that all threads block.  NULL: just those that each blocks.
extern const sigset_t *_PyPth_SharedMask(void);
// Take the signals that the calling thread blocks, but not all threads do.
extern void _PyPth_TakeSignals(void);
// Take one of `set` off the signals that are pending for the calling thread
// alone.  Return it, or 0.
extern int _PyPth_TakePending(const sigset_t *set);
// The calling thread waits with `mask` instead of its own until
// _PyPth_EndWaitMask().  Meanwhile its waits that are _PyPth_INTERRUPTIBLE end
// for every signal.
extern void _PyPth_BeginWaitMask(const sigset_t *mask);
extern void _PyPth_EndWaitMask(void);
// The number of threads that do.
extern int _PyPth_nwaitmasks;
// Does `thread` let one of these signals through?
extern int _PyPth_TakesSignal(_PyPth_thread *thread, const sigset_t *set);

/* pth_syscalls.c */

// pth_init() gets this pipe when it asks for one, see _PyPth_Start().
extern int _PyPth_pipe_for_init[2];
// The C library's own ppoll().
extern int _PyPth_sys_ppoll(struct pollfd *fds, nfds_t nfds,
                            const struct timespec *timeout,
                            const sigset_t *mask);
// The C library's own poll() with a timeout of 0, not interrupted by the
// slice.
extern int _PyPth_PollNow(struct pollfd *fds, nfds_t nfds);
// Does the socket block, without a time limit for what comes in?
extern int _PyPth_BlocksForEver(int fd);
// The C library's own sigaction().
extern int _PyPth_sys_sigaction(int signum, const struct sigaction *action,
                                struct sigaction *old);
// The C library's own pthread_sigmask().
extern int _PyPth_sys_sigmask(int how, const sigset_t *set, sigset_t *old);

/* pth_sys_file.c */

// The descriptors from `first` to `last` may become other files.
// Async-signal-safe.
#ifdef HAVE_PTH_SYSCALLS
extern void _PyPth_ForgetKinds(unsigned int first, unsigned int last);
#else
#  define _PyPth_ForgetKinds(first, last) ((void)0)
#endif

#endif  // !Py_PTH_INTERNAL_H
