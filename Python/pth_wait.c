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

#include "pth_internal.h"
#include "pycore_ceval.h"         // _PY_GIL_DROP_REQUEST_BIT
#include "pycore_runtime.h"       // _PyRuntime.main_thread

// Python/import.c: the package whose extension module is being loaded.
extern _Py_thread_local const char *pkgcontext;

int _PyPth_in_pth = 0;

// Threads in Pth's queues of new and ready threads that can go on when they
// get to run.  Threads that merely yielded in the middle of a wait are not
// counted: they are ready for Pth, but would only wait again.
static int nready = 0;

// Passes of the scheduler that came back.
static unsigned long switches = 0;

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
    }
}


/* Threads in pth_cond_await() whose wait is over, oldest first. */

static _PyPth_thread *woken_head, *woken_tail;

static void
woken_append(_PyPth_thread *thread)
{
    thread->woken_next = NULL;
    if (woken_head == NULL) {
        woken_head = thread;
    }
    else {
        woken_tail->woken_next = thread;
    }
    woken_tail = thread;
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
        thread->suspended = (pth_suspend(thread->tid) != FALSE);
    }
}


/* Switching.  The C library's errno and CPython's thread-local variables
   belong to the kernel thread, that is to all threads here: each thread keeps
   its own on its stack while it is away. */

typedef struct {
    int err;
    PyThreadState *tstate;
    const char *pkgcontext;
} kept;

static inline kept
switch_begin(void)
{
    kept k = {errno, _Py_tss_tstate, pkgcontext};
    _PyPth_in_pth = 1;
    return k;
}

static inline void
came_back(_PyPth_thread *self)
{
    _PyPth_in_pth = 0;
    _PyPth_SwitchedStack(_PyPth_current, self);
    _PyPth_current = self;
    self->place = PTH_RUNNING;
    if (self->counted) {
        self->counted = 0;
        nready--;
    }
    if (self->urgent) {
        self->urgent = 0;
        nurgent--;
    }
    if (last_urgent == self) {
        last_urgent = NULL;
    }
    switches++;
    suspend_oldest();
}

static inline void
switch_end(_PyPth_thread *self, kept k)
{
    came_back(self);
    _Py_tss_tstate = k.tstate;
    pkgcontext = k.pkgcontext;
    errno = k.err;
}

// Stay in Pth's ready queue while another thread runs.
static void
stay_ready(_PyPth_thread *self)
{
    self->place = PTH_READY;
    if (!_PyPth_IsBlocked(self)) {
        count_ready(self);
    }
}

static inline int
can_run_woken(void)
{
    return woken_head != NULL && nurgent < MANY_URGENT;
}

// Hand the kernel thread to the thread that was woken first.
static void
run_woken(_PyPth_thread *self)
{
    _PyPth_thread *thread = woken_head;
    woken_head = thread->woken_next;
    assert(thread != self);
    thread->place = PTH_READY;
    count_ready(thread);
    count_urgent(thread);
    if (thread->suspended) {
        thread->suspended = 0;
        (void)pth_resume(thread->tid);
    }
    else {
        await_remove(thread);
    }
    stay_ready(self);
    kept k = switch_begin();
    (void)pth_cond_notify(&thread->cond, FALSE);
    switch_end(self, k);
}

// Hand it to `thread`, or to the next ready one if that is NULL, and come back
// in turn.
static void
run_ready(_PyPth_thread *self, _PyPth_thread *thread)
{
    stay_ready(self);
    kept k = switch_begin();
    if (thread == NULL || !pth_yield(thread->tid)) {
        (void)pth_yield(NULL);
    }
    switch_end(self, k);
}

// Hand it to the next ready thread, and come back when notified.
static void
await(_PyPth_thread *self)
{
    assert(nready > 0);
    unsigned long before = switches;
    self->place = PTH_AWAITING;
    await_append(self);
    kept k = switch_begin();
    (void)pth_cond_await(&self->cond, &self->mutex, NULL);
    if (self->place == PTH_AWAITING) {
        // Not by way of run_woken().
        await_remove(self);
    }
    switch_end(self, k);
    if (switches == before + 1) {
        // pth_cond_await() had no memory for its event, and came back at once.
        run_ready(self, NULL);
    }
}


/* Queues */

static inline void
queue_check(_PyPth_queue *queue)
{
    if (queue->generation != _PyPth_generation) {
        queue->head = queue->tail = NULL;
        queue->generation = _PyPth_generation;
    }
}

static void
queue_insert(_PyPth_queue *queue, _PyPth_thread *thread, int at_front)
{
    queue_check(queue);
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
    Py_ssize_t size = timers_size * 2 > nthreads ? timers_size * 2 : nthreads;
    _PyPth_thread **heap = malloc(size * sizeof(*heap));
    if (heap == NULL) {
        return -1;
    }
    memcpy(heap, timers, ntimers * sizeof(*heap));
    if (timers != first_timers) {
        free(timers);
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

static PyTime_t
monotonic(void)
{
    PyTime_t now;
    // cannot fail: init checked the clock (pytime.c, _PyTime_Init())
    (void)PyTime_MonotonicRaw(&now);
    return now;
}

PyTime_t
_PyPth_Deadline(PyTime_t ns)
{
    return ns < 0 ? _PyPth_FOREVER : _PyTime_Add(monotonic(), ns);
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

// How long descriptors may go unlooked at while threads hand the GIL to each
// other and nobody's slice ends.
#define POLL_INTERVAL ((PyTime_t)500 * 1000)


/* Signals.  Python's handlers run in the main thread, wherever the kernel
   delivered the signal: if it waits, its wait has to end. */

static volatile sig_atomic_t signals = 0;     // received
static sig_atomic_t signals_told = 0;         // that the main thread knows of
static volatile sig_atomic_t received[_NSIG]; // which ones, since

void
_PyPth_SignalReceived(int signum)
{
    received[signum] = 1;
    signals = (sig_atomic_t)((unsigned int)signals + 1);
    if (!_PyPth_IsKernelThread()) {
        // A foreign thread took it: ours may sit in the kernel.
        _PyPth_InterruptKernelThread();
        return;
    }
    _PyPth_EndIdle();
    if (_PyPth_nthreads > 1) {
        // End the slice of the thread that computes.
        _PyPth_slice_expired = 1;
        PyThreadState *tstate = _Py_tss_tstate;
        if (tstate != NULL) {
            _Py_set_eval_breaker_bit(tstate, _PY_GIL_DROP_REQUEST_BIT);
        }
    }
}

static inline _PyPth_thread *
main_thread(void)
{
    return (_PyPth_thread *)(Py_uintptr_t)_PyRuntime.main_thread;
}

static void
tell_thread(_PyPth_thread *thread, const sigset_t *set)
{
    if (_PyPth_IsBlocked(thread) && (thread->flags & _PyPth_INTERRUPTIBLE)
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
    signals_told = signals;
    sigset_t set;
    sigemptyset(&set);
    for (int signum = 1; signum < _NSIG; signum++) {
        if (received[signum]) {
            received[signum] = 0;
            sigaddset(&set, signum);
        }
    }
    tell_thread(main_thread(), &set);
    if (_PyPth_nwaitmasks > 0) {
        // Threads that wait for signals, as far as anybody can tell.
        for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
            if (t->has_waitmask) {
                tell_thread(t, &set);
            }
        }
    }
}


/* The wait itself */

void
_PyPth_WakeThread(_PyPth_thread *thread, _PyPth_result result)
{
    assert(_PyPth_IsBlocked(thread));
    thread->result = result;
    queue_remove(thread);
    timer_remove(thread);
    _PyPth_RemoveFds(thread);
    if (thread->place == PTH_AWAITING) {
        // Until run_woken() it may still be suspended, and stay so.
        woken_append(thread);
    }
    else if (thread->place == PTH_READY) {
        count_ready(thread);
        count_urgent(thread);
    }
}

// Wake whoever can go on by now, without waiting.
static void
look_around(int slice_ended)
{
    if (slice_ended) {
        _PyPth_TakeSignals();
    }
    if (signals != signals_told) {
        tell_signals();
    }
    if (ntimers == 0 && _PyPth_nfds_waiting == 0) {
        return;
    }
    PyTime_t now = monotonic();
    wake_timers(now);
#ifdef HAVE_PTH_SYSCALLS
    if (slice_ended) {
        _PyPth_CheckWaits();
    }
#endif
    if (_PyPth_nfds_waiting > 0
        && (slice_ended || now - last_poll >= POLL_INTERVAL))
    {
        (void)_PyPth_PollFds(NULL, NULL);
        last_poll = now;
    }
}

int
_PyPth_SomeoneComputes(void)
{
    return nready > nurgent;
}

int
_PyPth_SomeoneWaits(void)
{
    return ntimers > 0 || _PyPth_nfds_waiting > 0;
}

// How long idle() waits.
static volatile struct timespec idle_timeout;

void
_PyPth_EndIdle(void)
{
    idle_timeout.tv_sec = 0;
    idle_timeout.tv_nsec = 0;
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
    // A handler that runs after this look ends the wait.
    if (signals != signals_told || _PyPth_slice_expired) {
        return;
    }
    if (_PyPth_PollFds(&idle_timeout, mask)
        && signals == signals_told && !_PyPth_slice_expired)
    {
        // A handler in C that Python knows nothing of, for whatever signal.
        for (int signum = 1; signum < _NSIG; signum++) {
            received[signum] = 1;
        }
        signals = (sig_atomic_t)((unsigned int)signals + 1);
    }
    last_poll = monotonic();
}

// The same with a mask that is not the thread's.
static void
sleep_masked(PyTime_t ns, const sigset_t *mask)
{
    // Signals that come in from here on end the wait.
    sigset_t all, mine;
    sigfillset(&all);
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &all, &mine);
    sleep_at_most(ns, mask != NULL ? mask : &mine);
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &mine, NULL);
}

// Wait for the next deadline, descriptor or signal: nobody can run.
static void
idle(void)
{
    PyTime_t left = (PyTime_t)INT_MAX * 1000000000;       // 68 years
    if (ntimers > 0) {
        left = timers[0]->deadline - monotonic();
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
    _PyPth_StopLooking();
    const sigset_t *shared = _PyPth_SharedMask();
#ifdef _PyPth_TIMEOUT_IN_PLACE
    if (shared == NULL) {
        sleep_at_most(left, NULL);
    }
    else
#endif
    {
        sleep_masked(left, shared);
    }
#ifdef HAVE_PTH_SYSCALLS
    if (checking && woken_head == NULL && _PyPth_current->result == 0) {
        _PyPth_CheckWaits();
    }
#endif
}

static _PyPth_result
block(_PyPth_thread *self, void (*leave)(_PyPth_thread *))
{
    while (self->result == 0) {
        look_around(0);
        if (self->result != 0) {
            break;
        }
        if (can_run_woken()) {
            run_woken(self);
        }
        else if (nready > 0) {
            if (leave != NULL) {
                leave(self);
            }
            await(self);
        }
        else {
            idle();
        }
    }
    self->waiting = 0;
    return self->result;
}

static void
begin_wait(_PyPth_thread *self, PyTime_t deadline, int flags)
{
    assert(!self->waiting && self->place == PTH_RUNNING);
    self->waiting = 1;
    self->computes = 0;
    self->result = 0;
    self->flags = (char)flags;
    self->deadline = deadline;
    if (deadline != _PyPth_FOREVER) {
        timer_insert(self);
    }
}

_PyPth_result
_PyPth_Wait(_PyPth_queue *queue, PyTime_t deadline, int flags)
{
    _PyPth_thread *self = _PyPth_current;
    if (flags & _PyPth_NEW_SIGNALS) {
        self->signals_seen = (unsigned int)signals;
    }
    else if ((flags & _PyPth_INTERRUPTIBLE) && self == main_thread()
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
    return block(self, NULL);
}

_PyPth_result
_PyPth_WaitFds(struct pollfd *fds, unsigned long nfds, PyTime_t deadline,
               int flags)
{
    _PyPth_thread *self = _PyPth_current;
    if (nfds > 0 && _PyPth_InsertFds(self, fds, nfds, flags) < 0) {
        errno = ENOMEM;
        return _PyPth_ERROR;
    }
    // Of signals, only those that come in from now on, as poll() does.
    self->signals_seen = (unsigned int)signals;
    begin_wait(self, deadline, flags);
    _PyPth_result result = block(self, NULL);
    if (result == _PyPth_WOKEN && (flags & _PyPth_REVENTS) && self->hinted) {
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

void
_PyPth_Park(_PyPth_thread *self, int surplus, void (*leave)(_PyPth_thread *))
{
    begin_wait(self, _PyPth_FOREVER, 0);
    (void)block(self, surplus ? leave : NULL);
}

int
_PyPth_Wake(_PyPth_queue *queue)
{
    queue_check(queue);
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

void
_PyPth_EndSlice(void)
{
    _PyPth_thread *self = _PyPth_current;
    int only_look = (_PyPth_slice_expired == _PyPth_LOOK);
    _PyPth_slice_expired = 0;
    look_around(1);
    if (!only_look) {
        if (!self->computes) {
            turn_of_computing = 1;
        }
        self->computes = 1;
    }
    if (can_run_woken()) {
        run_woken(self);
    }
    else if (nready > 0 && (!only_look || woken_head != NULL)) {
        run_ready(self, only_look ? last_urgent : NULL);
    }
    else {
        return;
    }
    // Back in turn.  Urgent threads may use up a slice without ever coming
    // here: waiting for the GIL, or in C.
    while (nurgent > 0 && !turn_of_computing && _PyPth_slice_expired != 1) {
        run_ready(self, last_urgent);
    }
    turn_of_computing = 0;
}

void
_PyPth_Yield(void)
{
    look_around(0);
    if (can_run_woken()) {
        run_woken(_PyPth_current);
    }
    else if (nready > 0) {
        run_ready(_PyPth_current, NULL);
    }
}

// A thread that ends has no thread state any more when it unlocks the list of
// those, but still the GIL (_PyThreadState_DeleteCurrent()): all others would
// run in vain.
static int
holds_gil(void)
{
    PyInterpreterState *interp = _PyInterpreterState_Main();
    // There is none any more when finalization unlocks its last mutex.
    struct _gil_runtime_state *gil = interp != NULL ? interp->ceval.gil : NULL;
    return gil != NULL && gil->locked && gil->last_holder != NULL
           && gil->last_holder->thread_id == (Py_uintptr_t)_PyPth_current;
}

void
_PyPth_CheckSlice(void)
{
    if (_PyPth_slice_expired && _Py_tss_tstate == NULL
        && _PyPth_nthreads > 1 && !_PyPth_current->waiting
        && _PyPth_IsKernelThread() && !holds_gil())
    {
        _PyPth_EndSlice();
    }
}


/* Threads come and go */

void
_PyPth_Ready(_PyPth_thread *thread)
{
    thread->place = PTH_READY;
    count_ready(thread);
    count_urgent(thread);
}

void
_PyPth_Enter(_PyPth_thread *self)
{
    came_back(self);
    _Py_tss_tstate = NULL;
    pkgcontext = NULL;
    errno = 0;
    // pth_cond_await() gives it up and takes it back.
    (void)pth_mutex_acquire(&self->mutex, FALSE, NULL);
}

void
_PyPth_ForgetOthers(void)
{
    woken_head = NULL;
    await_head = await_tail = NULL;
    nawaiting = 0;
    nready = 0;
    nurgent = 0;
    last_urgent = NULL;
    ntimers = 0;
    _PyPth_ForgetFds();
    signals_told = signals;
    _PyPth_thread *self = _PyPth_current;
    self->counted = 0;
    self->urgent = 0;
    self->timer = -1;
    self->fds = NULL;
    _PyPth_nwaitmasks = self->has_waitmask;
}


/* Condition variables of the GIL, semaphores of the parking lot */

void
_PyPth_CondWait(_PyPth_cond *cond)
{
    (void)_PyPth_Wait(cond, _PyPth_FOREVER, 0);
}

void
_PyPth_CondFini(_PyPth_cond *cond)
{
    // Daemon threads that wait for the GIL, or were preempted, end when they
    // find Python finalized (ceval_gil.c, take_gil()).  They must do so before
    // it is initialized again: they would take the new GIL with thread states
    // that are freed.
    (void)_PyPth_WakeAll(cond);
    for (int n = _PyPth_nthreads; n > 1; n--) {
        if (woken_head == NULL && nready == 0) {
            break;
        }
        // Not only those that are urgent.
        _PyPth_slice_expired = 1;
        _PyPth_current->computes = 0;
        _PyPth_EndSlice();
    }
}

_PyPth_result
_PyPth_SemWait(_PyPth_sem *sem, PyTime_t ns)
{
    if (sem->counter == 0) {
        _PyPth_result result = _PyPth_Wait(&sem->waiters, _PyPth_Deadline(ns),
                                           _PyPth_INTERRUPTIBLE);
        if (result != _PyPth_WOKEN && sem->counter == 0) {
            return result;
        }
    }
    assert(sem->counter > 0);
    sem->counter--;
    return _PyPth_WOKEN;
}

void
_PyPth_SemPost(_PyPth_sem *sem)
{
    sem->counter++;
    (void)_PyPth_Wake(&sem->waiters);
}
