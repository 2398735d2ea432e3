// GNU Pth backend: waiting and waking.
//
// Pth's scheduler is good at one thing: switching to the next ready thread.
// Its event manager is not: it walks all waiting threads and all their events
// in every pass, reads the wall clock, waits in select() for descriptors below
// FD_SETSIZE, and hides EINTR (pth_sched.c, pth_sched_eventmanager()).  So the
// only event that Python threads wait for in Pth is the condition variable of
// their own; deadlines, descriptors and signals are kept here, and a thread
// that has to wait while nobody else can run looks after them itself, in
// ppoll().  Pth's own select() never has to block.
//
// That gives the invariant of this file: control goes to Pth's scheduler only
// while another thread is ready (`nready`), or has just been made so.
//
// A thread that is woken does not run at once.  It could do nothing, for the
// one that woke it still holds the GIL.  It is put into the list of the woken,
// and gets its pth_cond_notify() when the running thread waits or ends its
// slice: the yield in pth_cond_notify() is then the hand-off itself, one pass
// of the scheduler instead of three.
//
// All of this happens with the backend locked.  Threads that Pth does not
// schedule wake others here, too; to wait, they come in (pth_takeover.c), or
// their kernel threads wait if Python did not start them.

#include "pth_internal.h"
#include "pycore_ceval.h"         // _PY_GIL_DROP_REQUEST_BIT
#include "pycore_runtime.h"       // _PyRuntime.main_thread

#include <linux/futex.h>
#include <sys/mman.h>

// Threads in Pth's queues of new and ready threads that can go on when they
// get to run.  Threads that merely yielded in the middle of a wait are not
// counted: they are ready for Pth, but would only wait again.
static int nready = 0;
static int ncomputing = 0;        // of these, those whose slices have ended

// Passes of the scheduler that came back.
unsigned long _PyPth_switches = 0;

// The current thread has used up its time slice, or shall look (below).
volatile int _PyPth_slice_expired = 0;

// Threads that were started or woken, and have not run since.  They go before
// threads whose slices have ended, which may be ahead of them in Pth's ready
// queue: each of those would keep them waiting for a whole slice (bpo-7946).
static int nurgent = 0;
static _PyPth_thread *last_urgent;

// So many of them are handed to Pth, and the rest when these have run: Pth's
// ready queue is a list in which each thread looks for its place from the
// beginning (pth_pqueue_insert()).
#define MANY_URGENT 8

// It is the turn of those whose slices have ended, whoever is urgent: threads
// that wake each other for ever use up slices, too.
static int turn_of_computing = 0;

static inline void
count_urgent(_PyPth_thread *thread)
{
    if (!thread->urgent) {
        thread->urgent = 1;
        nurgent++;
    }
    last_urgent = thread;
}

static inline void
count_ready(_PyPth_thread *thread)
{
    if (!thread->counted) {
        thread->counted = 1;
        nready++;
        ncomputing += thread->computes;
    }
}


/* Threads in pth_cond_await() whose wait is over, oldest first.  But those that
   compute, and have waited for the GIL alone, come behind the others: they would
   each keep them waiting for a slice. */

static _PyPth_thread *woken_head, *woken_tail;
static _PyPth_thread *woken_urgent;       // the last one of the others, or NULL

static void
woken_append(_PyPth_thread *thread)
{
    if (thread->in_woken) {
        return;
    }
    thread->in_woken = 1;
    _PyPth_thread *before = thread->computes ? woken_tail : woken_urgent;
    _PyPth_thread **link = before != NULL ? &before->woken_next : &woken_head;
    thread->woken_next = *link;
    *link = thread;
    if (thread->woken_next == NULL) {
        woken_tail = thread;
    }
    if (!thread->computes) {
        woken_urgent = thread;
    }
}

static _PyPth_thread *
woken_take(void)
{
    _PyPth_thread *thread = woken_head;
    woken_head = thread->woken_next;
    if (woken_head == NULL) {
        woken_tail = NULL;
    }
    if (woken_urgent == thread) {
        woken_urgent = NULL;
    }
    thread->in_woken = 0;
    return thread;
}


/* Threads in Pth's waiting queue, which every pass of the scheduler walks at a
   cost of about a quarter of a microsecond a thread.  Those that have waited
   longest are suspended: pth_suspend() moves them to a queue that nobody
   walks.  One stays, so that two threads that hand work to and fro need no
   pth_resume(), which has to search. */

#define KEEP_AWAITING 1

static _PyPth_thread *await_head, *await_tail;
static int nawaiting = 0;

static void
await_append(_PyPth_thread *thread)
{
    thread->await_next = NULL;
    thread->await_prev = await_tail;
    if (await_tail == NULL) {
        await_head = thread;
    }
    else {
        await_tail->await_next = thread;
    }
    await_tail = thread;
    nawaiting++;
}

static void
await_remove(_PyPth_thread *thread)
{
    if (thread->await_prev != NULL) {
        thread->await_prev->await_next = thread->await_next;
    }
    else {
        await_head = thread->await_next;
    }
    if (thread->await_next != NULL) {
        thread->await_next->await_prev = thread->await_prev;
    }
    else {
        await_tail = thread->await_prev;
    }
    nawaiting--;
}

static void
suspend_oldest(void)
{
    if (_PyPth_LibraryPatches() != NULL) {
        // It does not walk them.
        return;
    }
    while (nawaiting > KEEP_AWAITING) {
        _PyPth_thread *thread = await_head;
        await_remove(thread);
        thread->suspended = (pth_suspend(thread->pth) != FALSE);
    }
}


/* Switching.  errno belongs to the thread, but Pth's scheduler runs with the
   thread pointer of the thread that called it. */

void
_PyPth_CameBack(_PyPth_thread *self)
{
    _PyPth_current = self;
    _PyPth_after = self;
    self->place = PTH_RUNNING;
    if (self->counted) {
        self->counted = 0;
        nready--;
        ncomputing -= self->computes;
    }
    if (self->urgent) {
        self->urgent = 0;
        nurgent--;
    }
    if (last_urgent == self) {
        last_urgent = NULL;
    }
    _PyPth_switches++;
    _PyPth_CheckState(self);
    suspend_oldest();
}

static inline void
came_back(_PyPth_thread *self, int err)
{
    _PyPth_CameBack(self);
    _PyPth_Arrived(self);
    if (self->stub == NULL && !self->wants_own) {
        // Else the thread pointer may be another one than before.
        errno = err;
    }
}

// Stay in Pth's ready queue while another thread runs.
static void
stay_ready(_PyPth_thread *self)
{
    self->place = PTH_READY;
    if (!_PyPth_IsBlocked(self) && !self->ended && !self->wants_own) {
        count_ready(self);
    }
}

static inline int
can_run_woken(void)
{
    return woken_head != NULL && nurgent < MANY_URGENT;
}

// The same for one that does not compute.
static inline int
can_run_urgent(void)
{
    return woken_urgent != NULL && nurgent < MANY_URGENT;
}

// Is it the turn of one that was woken?  Those that compute take turns with those
// that Pth has as ready.
static inline int
is_turn_of_woken(void)
{
    static int in_turn = 0;
    return can_run_urgent()
           || (can_run_woken() && (nready == 0 || (in_turn = !in_turn)));
}

// Hand the carrier to `thread`, or to the next ready one if that is NULL, and
// come back in turn.
static void __attribute__((noinline))
run_ready(_PyPth_thread *self, _PyPth_thread *thread)
{
    stay_ready(self);
    int err = errno;
    if (thread == NULL || !pth_yield(thread->pth)) {
        (void)pth_yield(NULL);
    }
    came_back(self, err);
}

// Hand it to the thread that was woken first.
static void __attribute__((noinline))
run_woken(_PyPth_thread *self)
{
    _PyPth_thread *thread = woken_take();
    assert(thread != self);
    _PyPth_place place = thread->place;
    thread->place = PTH_READY;
    count_ready(thread);
    if (!thread->computes) {
        count_urgent(thread);
    }
    if (place == PTH_NEW) {
        (void)pth_resume(thread->pth);
        run_ready(self, thread);
        return;
    }
    if (thread->suspended) {
        thread->suspended = 0;
        (void)pth_resume(thread->pth);
    }
    else {
        await_remove(thread);
    }
    stay_ready(self);
    int err = errno;
    (void)pth_cond_notify(&thread->cond, FALSE);
    came_back(self, err);
}

// Hand it to the next ready thread, and come back when notified.
static void __attribute__((noinline))
await(_PyPth_thread *self)
{
    assert(nready > 0);
    unsigned long before = _PyPth_switches;
    self->place = PTH_AWAITING;
    await_append(self);
    int err = errno;
    (void)pth_cond_await(&self->cond, &self->mutex, NULL);
    if (self->place == PTH_AWAITING) {
        // Not by way of run_woken().
        await_remove(self);
    }
    came_back(self, err);
    if (_PyPth_switches == before + 1) {
        // pth_cond_await() had no memory for its event, and came back at once.
        run_ready(self, NULL);
    }
}


/* Queues */

static void
queue_insert(_PyPth_queue *queue, _PyPth_thread *thread, int at_front)
{
    _PyPth_CheckQueue(queue);
    thread->queue = queue;
    thread->prev = at_front ? NULL : queue->tail;
    thread->next = at_front ? queue->head : NULL;
    if (thread->prev != NULL) {
        thread->prev->next = thread;
    }
    else {
        queue->head = thread;
    }
    if (thread->next != NULL) {
        thread->next->prev = thread;
    }
    else {
        queue->tail = thread;
    }
}

static void
queue_remove(_PyPth_thread *thread)
{
    _PyPth_queue *queue = thread->queue;
    if (queue == NULL) {
        return;
    }
    assert(queue->generation == _PyPth_generation);
    if (thread->prev != NULL) {
        thread->prev->next = thread->next;
    }
    else {
        queue->head = thread->next;
    }
    if (thread->next != NULL) {
        thread->next->prev = thread->prev;
    }
    else {
        queue->tail = thread->prev;
    }
    thread->queue = NULL;
}


/* Deadlines: a binary heap of the threads that have one.  It has room for
   every thread before the thread starts (_PyPth_ReserveTimers()), so that no
   wait can fail for want of memory. */

static _PyPth_thread *first_timers[1];
static _PyPth_thread **timers = first_timers;
static Py_ssize_t ntimers = 0;
static Py_ssize_t timers_size = 1;

int
_PyPth_ReserveTimers(int nthreads)
{
    if (nthreads <= timers_size) {
        return 0;
    }
    Py_ssize_t size = Py_MAX(timers_size * 2, Py_MAX(nthreads, 512));
    _PyPth_thread **heap = _PyPth_Map(size * sizeof(*heap));
    if (heap == NULL) {
        return -1;
    }
    memcpy(heap, timers, ntimers * sizeof(*heap));
    if (timers != first_timers) {
        (void)munmap(timers, timers_size * sizeof(*timers));
    }
    timers = heap;
    timers_size = size;
    return 0;
}

static inline void
timer_place(_PyPth_thread *thread, Py_ssize_t i)
{
    timers[i] = thread;
    thread->timer = i;
}

static void
timer_up(_PyPth_thread *thread, Py_ssize_t i)
{
    while (i > 0) {
        Py_ssize_t parent = (i - 1) / 2;
        if (timers[parent]->deadline <= thread->deadline) {
            break;
        }
        timer_place(timers[parent], i);
        i = parent;
    }
    timer_place(thread, i);
}

static void
timer_down(_PyPth_thread *thread, Py_ssize_t i)
{
    for (;;) {
        Py_ssize_t child = 2 * i + 1;
        if (child >= ntimers) {
            break;
        }
        if (child + 1 < ntimers
            && timers[child + 1]->deadline < timers[child]->deadline)
        {
            child++;
        }
        if (thread->deadline <= timers[child]->deadline) {
            break;
        }
        timer_place(timers[child], i);
        i = child;
    }
    timer_place(thread, i);
}

static void
timer_insert(_PyPth_thread *thread)
{
    assert(ntimers < timers_size);
    timer_up(thread, ntimers++);
}

static void
timer_remove(_PyPth_thread *thread)
{
    Py_ssize_t i = thread->timer;
    if (i < 0) {
        return;
    }
    thread->timer = -1;
    _PyPth_thread *last = timers[--ntimers];
    if (last != thread) {
        if (i > 0 && last->deadline < timers[(i - 1) / 2]->deadline) {
            timer_up(last, i);
        }
        else {
            timer_down(last, i);
        }
    }
}

PyTime_t
_PyPth_Now(void)
{
    PyTime_t now;
    // cannot fail: init checked the clock (pytime.c, _PyTime_Init())
    (void)PyTime_MonotonicRaw(&now);
    return now;
}

PyTime_t
_PyPth_CoarseTime(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (PyTime_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

PyTime_t
_PyPth_Deadline(PyTime_t ns)
{
    return ns < 0 ? _PyPth_FOREVER : _PyTime_Add(_PyPth_Now(), ns);
}

static void
wake_timers(PyTime_t now)
{
    while (ntimers > 0 && timers[0]->deadline <= now) {
        _PyPth_WakeThread(timers[0], _PyPth_TIMEOUT);
    }
}


/* Descriptors: pth_poll.c */

static PyTime_t last_poll = 0;


/* Signals.  Python's handlers run in the main thread, wherever the kernel
   delivered the signal: if it waits, its wait has to end. */

static int signals = 0;           // received
static int signals_told = 0;      // that the main thread knows of
static volatile sig_atomic_t received[_NSIG]; // which ones, since

void
_PyPth_SignalReceived(int signum)
{
    received[signum] = 1;
    // Handlers may run on several kernel threads at once.
    (void)_Py_atomic_add_int(&signals, 1);
    _PyPth_EndIdle();
    _PyPth_KickIdle();
    if (_PyPth_nthreads > 1) {
        // End the slice of the thread that computes, so that the main thread
        // gets to run: here or, if another kernel thread runs it, soon.
        PyThreadState *tstate = _Py_tss_tstate;
        if (tstate != NULL && _PyPth_lock == _PyPth_self) {
            _PyPth_slice_expired = 1;
            _Py_set_eval_breaker_bit(tstate, _PY_GIL_DROP_REQUEST_BIT);
        }
        _PyPth_WakeMonitor();
    }
}

static inline int
is_main_thread(_PyPth_thread *thread)
{
    return thread->pthread == (pthread_t)_PyRuntime.main_thread;
}

static void
tell_thread(_PyPth_thread *thread, uint64_t set)
{
    if (!thread->out && _PyPth_IsBlocked(thread)
        && (thread->flags & _PyPth_INTERRUPTIBLE)
        && thread->signals_seen != (unsigned int)signals_told
        && _PyPth_TakesSignal(thread, set))
    {
        thread->signals_seen = (unsigned int)signals_told;
        _PyPth_WakeThread(thread, _PyPth_INTR);
    }
}

static void
tell_signals(void)
{
    signals_told = _Py_atomic_load_int(&signals);
    uint64_t set = 0;
    for (int signum = 1; signum < _NSIG; signum++) {
        if (received[signum]) {
            received[signum] = 0;
            set |= PTH_SIGNAL_BIT(signum);
        }
    }
    _PyPth_thread *thread =
        _PyPth_FindThread((unsigned long)_PyRuntime.main_thread);
    if (thread != NULL) {
        tell_thread(thread, set);
    }
}


/* The wait itself */

// By threads that are out, foreign ones, or the monitor, which looks.
static char woken_by_others = 0;
char _PyPth_woken_behind = 0;

static inline int
urgent_waits(void)
{
    return woken_urgent != NULL || nurgent > 0;
}

int
_PyPth_WokenByOthers(void)
{
    int woken = woken_by_others && urgent_waits();
    woken_by_others = 0;
    return woken;
}

void
_PyPth_GiveWay(void)
{
    if (!_PyPth_slice_expired && urgent_waits()) {
        _PyPth_slice_expired = _PyPth_LOOK;
    }
}

void
_PyPth_MakeReady(_PyPth_thread *thread)
{
    switch (thread->place) {
    case PTH_NEW:
    case PTH_AWAITING:
        // Until run_woken() it may still be suspended, and stay so.
        woken_append(thread);
        break;
    case PTH_READY:
        count_ready(thread);
        count_urgent(thread);
        break;
    default:
        // It waits in the kernel for all.
        break;
    }
    if (_PyPth_after != _PyPth_self) {
        woken_by_others = 1;
        _PyPth_woken_behind = 1;
    }
    _PyPth_TellCarrier();
}

void
_PyPth_WakeThread(_PyPth_thread *thread, _PyPth_result result)
{
    assert(_PyPth_IsBlocked(thread));
    thread->result = result;
    queue_remove(thread);
    if (thread->kernel_wait) {
        _PyPth_WakeKernel(&thread->k);
        return;
    }
    timer_remove(thread);
    _PyPth_RemoveFds(thread);
    _PyPth_MakeReady(thread);
}

// For a descriptor or a deadline, which somebody has to look after.
int
_PyPth_SomeoneWaits(void)
{
    return ntimers > 0 || _PyPth_nfds_waiting > 0;
}

int
_PyPth_LookAround(int slice_ended)
{
    if (_PyPth_deferred) {
        _PyPth_SendDeferred();
    }
    if (signals != signals_told) {
        tell_signals();
    }
    if (_PyPth_SomeoneWaits()) {
        PyTime_t now = _PyPth_Now();
        wake_timers(now);
#ifdef HAVE_PTH_SYSCALLS
        if (slice_ended) {
            _PyPth_CheckWaits();
        }
#endif
        if (_PyPth_nfds_waiting > 0
            && (slice_ended || now - last_poll >= _PyPth_POLL_NS))
        {
            _PyPth_PollFds(NULL, NULL);
            last_poll = now;
        }
    }
    return woken_head != NULL || nready > 0;
}

int
_PyPth_SomeoneComputes(void)
{
    return nready > nurgent;
}

int
_PyPth_AnyReady(void)
{
    return woken_head != NULL || nready > 0;
}

int
_PyPth_AnyWoken(void)
{
    return woken_head != NULL || nurgent > 0;
}

_PyPth_thread *
_PyPth_FirstWoken(void)
{
    return woken_head;
}

PyTime_t
_PyPth_FirstDeadline(void)
{
    return ntimers > 0 ? timers[0]->deadline : _PyPth_FOREVER;
}

// How long idle() waits.
static volatile struct timespec idle_timeout;

void
_PyPth_EndIdle(void)
{
    idle_timeout.tv_sec = 0;
    idle_timeout.tv_nsec = 0;
}

int
_PyPth_SignalsCame(void)
{
    return _Py_atomic_load_int(&signals) != signals_told || _PyPth_deferred;
}

static void
set_idle_timeout(PyTime_t ns)
{
    idle_timeout.tv_sec = (time_t)(ns / 1000000000);
    idle_timeout.tv_nsec = (long)(ns % 1000000000);
}

// Wait for a descriptor or signal, `ns` at most.
static void
sleep_at_most(PyTime_t ns, const sigset_t *mask)
{
    _PyPth_slice_expired = 0;             // nobody to run
    set_idle_timeout(ns);
    _PyPth_PollFds(&idle_timeout, mask);
    last_poll = _PyPth_Now();
}

// The same with a mask that is not the thread's.
static void
sleep_masked(PyTime_t ns, const sigset_t *mask)
{
    // Signals that come in from here on end the wait.
    sigset_t all, mine;
    sigfillset(&all);
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &all, &mine);
    sleep_at_most(ns, mask);
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &mine, NULL);
}

// Wait for the next deadline, descriptor or signal: nobody can run.
static void
idle(_PyPth_thread *self)
{
    if (_PyPth_arriving > 0) {
        _PyPth_AwaitArrivals();
        return;
    }
    PyTime_t left = (PyTime_t)INT_MAX * 1000000000;       // 68 years
    if (ntimers > 0) {
        left = timers[0]->deadline - _PyPth_Now();
        if (left <= 0) {
            return;
        }
    }
#ifdef HAVE_PTH_SYSCALLS
    // Servers with work to do are seldom idle for long.
    int checking = _PyPth_Unchecked() && left > 1000000;
    if (checking) {
        left = 1000000;
    }
#endif
    const sigset_t *shared = _PyPth_SharedMask();
    if (shared == NULL) {
        sleep_at_most(left, NULL);
    }
    else {
        sleep_masked(left, shared);
    }
#ifdef HAVE_PTH_SYSCALLS
    if (checking && woken_head == NULL && _PyPth_IsBlocked(self)) {
        _PyPth_CheckWaits();
    }
#endif
}

// The thread has ended, and somebody else is ready: leave Pth.
static void PTH_LEAVES
leave_pth(_PyPth_thread *self)
{
    (void)pth_mutex_release(&self->mutex);
    _PyPth_FreeThread(self);
    // The scheduler frees Pth's own part: the thread is not joinable for Pth.
    pth_exit(NULL);
    Py_UNREACHABLE();
}

void
_PyPth_Block(_PyPth_thread *self)
{
    while (_PyPth_IsBlocked(self) || self->ended) {
        if (self->deliver && !self->out) {
            if (self->stub != NULL) {
                // In its own context, see _PyPth_ComeIn().
                return;
            }
            // The handlers run outside of the backend, as if it did not wait.
            self->deliver = 0;
            _PyPth_Unlock();
            _PyPth_DeliverPending(self);
            _PyPth_Lock();
            if (!_PyPth_IsCurrent()) {
                (void)_PyPth_ComeIn(self);
            }
            continue;
        }
        (void)_PyPth_LookAround(0);
        if (!_PyPth_IsBlocked(self) && !self->ended) {
            break;
        }
        if (is_turn_of_woken()) {
            run_woken(self);
        }
        else if (nready > 0) {
            // pth_exit() of Pth's main thread waits for all others, and may end
            // the process (pth_lib.c): it stays.
            if (self->ended && self != &_PyPth_main) {
                leave_pth(self);
            }
            await(self);
        }
        else {
            idle(self);
        }
    }
}

int _PyPth_nwanting = 0;

void
_PyPth_BlockForOwn(_PyPth_thread *self)
{
    self->wants_own = 1;
    self->spared = 0;
    _PyPth_nwanting++;
    _PyPth_FreeWanted();
    while (self->busy) {
        (void)_PyPth_LookAround(0);
        if (is_turn_of_woken()) {
            run_woken(self);
        }
        else if (nready > 0) {
            await(self);
        }
        else {
            idle(self);
        }
    }
    self->wants_own = 0;
    _PyPth_nwanting--;
}

static void let_urgent_first(_PyPth_thread *self);

static void
begin_wait(_PyPth_thread *self, PyTime_t deadline, int flags)
{
    assert(!self->waiting);
    self->waiting = 1;
    if (self->in_call) {
        self->in_call = PTH_WAITED;
    }
    if (!(flags & _PyPth_FOR_TURN)) {
        self->computes = 0;
    }
    self->result = 0;
    self->flags = (char)flags;
    self->deadline = deadline;
    if (deadline != _PyPth_FOREVER) {
        timer_insert(self);
        if (timers[0] == self) {
            // It sleeps no longer than until the first one.
            _PyPth_TellMonitor();
        }
    }
}

// Pth does not schedule the caller, or not any more.
int
_PyPth_WaitsInKernel(_PyPth_thread *self)
{
    return self == NULL || !_PyPth_CanLend() || self->alone;
}

// The kernel thread of the caller waits.
static _PyPth_result
wait_in_kernel(_PyPth_queue *queue, PyTime_t deadline, int flags)
{
    _PyPth_thread w;
    memset(&w, 0, sizeof(w));
    w.kernel_wait = 1;
    w.timer = -1;
    w.waiting = 1;
    if (queue != NULL) {
        queue_insert(queue, &w, flags & _PyPth_AT_FRONT);
    }
    int err = errno;
    while (w.result == 0) {
        struct timespec left = {0, 0}, *timeout = NULL;
        if (deadline != _PyPth_FOREVER) {
            PyTime_t ns = deadline - _PyPth_Now();
            if (ns <= 0) {
                w.result = _PyPth_TIMEOUT;
                queue_remove(&w);
                break;
            }
            _PyTime_AsTimespec_clamp(ns, &left);
            timeout = &left;
        }
        int before = _Py_atomic_load_int(&signals);
        _PyPth_Unlock();
        long result = _PyPth_Futex(&w.k.go, FUTEX_WAIT_PRIVATE, 0, timeout);
        int interrupted = (result == -EINTR && signals != before
                           && (flags & _PyPth_INTERRUPTIBLE)
                           && pthread_self()
                              == (pthread_t)_PyRuntime.main_thread);
        _PyPth_Lock();
        if (interrupted && w.result == 0) {
            w.result = _PyPth_INTR;
            queue_remove(&w);
        }
    }
    errno = err;
    return w.result;
}

// The thread waits: see that it goes on when it is over.
static int
wait_as_thread(_PyPth_thread *self)
{
    int result = 0;
    if (_PyPth_IsCurrent()) {
        _PyPth_Block(self);
    }
    else {
        result = _PyPth_ComeIn(self);
    }
    self->waiting = 0;
    if (self->computes && nurgent > 0 && _PyPth_IsCurrent()) {
        let_urgent_first(self);
    }
    if (self->deliver) {
        self->deliver = 0;
        _PyPth_Unlock();
        _PyPth_DeliverPending(self);
        _PyPth_Lock();
    }
    return result;
}

void
_PyPth_TakeTurn(_PyPth_thread *self)
{
    begin_wait(self, _PyPth_FOREVER, _PyPth_FOR_TURN);
    self->result = _PyPth_WOKEN;
    (void)_PyPth_ComeIn(self);
    self->waiting = 0;
}

_PyPth_result
_PyPth_Wait(_PyPth_queue *queue, PyTime_t deadline, int flags)
{
    _PyPth_thread *self = _PyPth_self;
    if (_PyPth_WaitsInKernel(self)) {
        return wait_in_kernel(queue, deadline, flags);
    }
    if (flags & _PyPth_NEW_SIGNALS) {
        self->signals_seen = (unsigned int)signals;
    }
    else if ((flags & _PyPth_INTERRUPTIBLE) && is_main_thread(self)
             && self->signals_seen != (unsigned int)signals)
    {
        // One came in since the last wait.  Its handler may have run already,
        // then the caller finds nothing to do and comes back.
        self->signals_seen = (unsigned int)signals;
        return _PyPth_INTR;
    }
    begin_wait(self, deadline, flags);
    if (queue != NULL) {
        queue_insert(queue, self, flags & _PyPth_AT_FRONT);
    }
    if (wait_as_thread(self) < 0) {
        queue_remove(self);
        timer_remove(self);
        return wait_in_kernel(queue, deadline, flags);
    }
    return self->result;
}

_PyPth_result
_PyPth_WaitFds(struct pollfd *fds, unsigned long nfds, PyTime_t deadline,
               int flags)
{
    _PyPth_thread *self = _PyPth_self;
    _PyPth_fdwait room[_PyPth_FEW_FDS];
    _PyPth_Lock();
    if ((self->pending | self->waits_at_home) & self->sigmask) {
        // A signalfd(2) has them for the thread alone, on its own kernel thread.
        _PyPth_Unlock();
        _PyPth_TakeSignalsHome(NULL);
        return _PyPth_ERROR;
    }
    if (nfds > 0 && _PyPth_InsertFds(self, fds, nfds, flags, room) < 0) {
        _PyPth_Unlock();
        return _PyPth_ERROR;
    }
    // Of signals, only those that come in from now on, as poll() does.
    self->signals_seen = (unsigned int)signals;
    begin_wait(self, deadline, flags);
    _PyPth_result result;
    if (wait_as_thread(self) < 0) {
        _PyPth_RemoveFds(self);
        timer_remove(self);
        result = _PyPth_ERROR;
    }
    else {
        result = self->result;
    }
    _PyPth_Unlock();
    if (result == _PyPth_WOKEN && (flags & _PyPth_REVENTS) && self->registered) {
        int closed = 0;
        for (nfds_t i = 0; i < nfds; i++) {
            closed |= (fds[i].revents & POLLNVAL);
        }
        if (!closed) {
            int err = errno;
            (void)_PyPth_PollNow(fds, nfds);
            errno = err;
        }
    }
    return result;
}

int
_PyPth_Wake(_PyPth_queue *queue)
{
    _PyPth_CheckQueue(queue);
    if (queue->head == NULL) {
        return 0;
    }
    _PyPth_WakeThread(queue->head, _PyPth_WOKEN);
    return 1;
}

int
_PyPth_WakeAll(_PyPth_queue *queue)
{
    int n = 0;
    while (_PyPth_Wake(queue)) {
        n++;
    }
    return n;
}


/* Time slices */

// Whose turn it is, of those that compute, while somebody urgent goes before it.
// Pth has put it behind the others of these: those come first then, and hand over to
// it, unless they have had their last slice before.
static _PyPth_thread *gave_way;
unsigned long _PyPth_slices = 0;

// The current thread computes, and its turn has come.
static void
let_urgent_first(_PyPth_thread *self)
{
    // They may use up a slice without ever coming here: waiting for the GIL, or in C.
    while (!turn_of_computing && _PyPth_slice_expired != 1) {
        _PyPth_thread *next = gave_way;
        if (next == NULL || !next->counted
            || self->last_slice < next->last_slice)
        {
            next = self;
        }
        if (nurgent > 0) {
            gave_way = next;
            run_ready(self, last_urgent);
        }
        else if (next != self) {
            run_ready(self, next);
        }
        else {
            break;
        }
    }
    if (gave_way == self) {
        gave_way = NULL;
    }
    turn_of_computing = 0;
}

int
_PyPth_RunOthers(_PyPth_thread *self, int urgent_alone)
{
    if (urgent_alone ? can_run_urgent() : is_turn_of_woken()) {
        run_woken(self);
        return 1;
    }
    if (nready > 0 && (!urgent_alone || nurgent > 0)) {
        run_ready(self, urgent_alone ? last_urgent : NULL);
        return 1;
    }
    return 0;
}

void
_PyPth_EndSlice(_PyPth_thread *self)
{
    int only_look = (_PyPth_slice_expired == _PyPth_LOOK);
    _PyPth_slice_expired = 0;
    (void)_PyPth_LookAround(1);
    if (!only_look) {
        if (!self->computes) {
            turn_of_computing = 1;
        }
        self->computes = !self->asks;
        self->asks = 0;
        self->last_slice = ++_PyPth_slices;
    }
    else {
        // It goes on with its slice.
        self->last_slice = 0;
        gave_way = self;
    }
    if (!_PyPth_RunOthers(self, only_look)) {
        gave_way = NULL;
        return;
    }
    let_urgent_first(self);
}

static void
yield(int also_computing)
{
    _PyPth_thread *self = _PyPth_self;
    _PyPth_Lock();
    if (_PyPth_IsCurrent()) {
        (void)_PyPth_LookAround(0);
        if (also_computing ? is_turn_of_woken() : can_run_urgent()) {
            run_woken(self);
        }
        else if (nready > (also_computing ? 0 : ncomputing)) {
            // It may never wait.
            self->computes = 0;
            run_ready(self, NULL);
        }
    }
    _PyPth_Unlock();
}

void
_PyPth_Yield(void)
{
    yield(1);
}

void
_PyPth_YieldToWaiting(void)
{
    // Two that ask each other until a slice ends would take turns of slices.
    _PyPth_self->asks = 1;
    yield(0);
}


/* Semaphores of the parking lot */

static inline void
set_parks(char parks)
{
    if (_PyPth_self != NULL) {
        _PyPth_self->parks = parks;
    }
}

void
_PyPth_SemInit(_PyPth_sem *sem)
{
    *sem = (_PyPth_sem){0};
    set_parks(1);
}

void
_PyPth_SemDestroy(_PyPth_sem *Py_UNUSED(sem))
{
    set_parks(0);
}

_PyPth_result
_PyPth_SemWait(_PyPth_sem *sem, PyTime_t ns)
{
    _PyPth_result result = _PyPth_WOKEN;
    _PyPth_Lock();
    if (sem->counter == 0) {
        // _PyRawMutex_LockSlow() of 3.13.5, which waits with the GIL, does not ask
        // how the wait has ended.
        _PyPth_thread *self = _PyPth_self;
        int flags = (self == NULL || self->nogil) ? _PyPth_INTERRUPTIBLE : 0;
        result = _PyPth_Wait(&sem->waiters, _PyPth_Deadline(ns), flags);
    }
    if (sem->counter > 0) {
        sem->counter--;
        result = _PyPth_WOKEN;
    }
    _PyPth_Unlock();
    return result;
}

void
_PyPth_SemPost(_PyPth_sem *sem)
{
    _PyPth_Lock();
    sem->counter++;
    (void)_PyPth_Wake(&sem->waiters);
    _PyPth_Unlock();
}


/* Fork */

void
_PyPth_ForgetOthers(void)
{
    woken_head = woken_tail = woken_urgent = NULL;
    await_head = await_tail = NULL;
    nawaiting = 0;
    nready = 0;
    ncomputing = 0;
    nurgent = 0;
    last_urgent = gave_way = NULL;
    ntimers = 0;
    _PyPth_nwanting = 0;
    _PyPth_slice_expired = 0;
    _PyPth_ForgetFds();
    _PyPth_ForgetGILs();
    _PyPth_ForgetSignals();
    signals_told = signals;
    _PyPth_thread *self = _PyPth_self;
    if (self != NULL) {
        self->counted = 0;
        self->urgent = 0;
        self->timer = -1;
        self->fds = NULL;
    }
}
