// GNU Pth backend: the GIL, and the calls that are made without it.
//
// Who computes drops the GIL when its slice ends; who is handed it is seen to here,
// for threads that Pth schedules and for kernel threads, which are slow to wake.  A
// thread whose last calls without the GIL took long makes room for others at the next
// one.

#include "pth_internal.h"
#include "pycore_ceval.h"         // _PY_GIL_DROP_REQUEST_BIT
#include "pycore_gil.h"           // struct _gil_runtime_state


/* How long calls take */

// Steps of the clock in a microsecond, as the monitor has measured them.
uint64_t _PyPth_us_ticks = 3000;

// What a thread takes for long, in microseconds, unless making room takes longer.
#define LONG_US 3

// The next call without the GIL is to be timed: the monitor says so in each
// tick, and hand-offs need not look at the clock.
volatile int _PyPth_time_calls = 0;

// After a long one a thread makes room for so many calls that are not.
#define LONG_CALLS 32

// One that was over before others could have run counts as so many of these.
#define IN_VAIN 4

// After one that blocked it makes room for those who wait, too, until nobody
// has run in so many calls.
#define BLOCKING_CALLS 8

// If one of its first calls is long, those of the next threads are taken to be so:
// threads that are started to do the same would be found out one by one, after
// a millisecond each.  After so many that made none, that is over.
#define FIRST_CALLS 4
#define LIKE_OTHERS 8

static int first_calls_long = 0;

void
_PyPth_BeginCalls(_PyPth_thread *self)
{
    self->first_calls = FIRST_CALLS;
    int is_long = _Py_atomic_load_int_relaxed(&first_calls_long) > 0;
    self->long_calls = is_long ? FIRST_CALLS : 0;
    self->blocks = 0;
    self->room_took = 0;
}

static inline void
note_first_call(_PyPth_thread *thread, int is_long)
{
    if (is_long) {
        thread->first_calls = 0;
        _Py_atomic_store_int_relaxed(&first_calls_long, LIKE_OTHERS);
    }
    else if (--thread->first_calls == 0 && first_calls_long > 0) {
        _Py_atomic_store_int_relaxed(&first_calls_long, first_calls_long - 1);
    }
}

// How long its call has taken, in ticks, or 0.
static inline uint64_t
call_took(_PyPth_thread *thread)
{
    uint64_t since = thread->dropped_at;
    return thread->in_call == PTH_CALLS && since != 0
           ? _PyPth_ReadTicks() - since : 0;
}

// A call that would have been over before others could have run is not worth it.
static inline int
is_long(_PyPth_thread *thread, uint64_t took)
{
    return took > LONG_US * _PyPth_us_ticks && took > thread->room_took;
}

int
_PyPth_IsInLongCall(_PyPth_thread *thread)
{
    return is_long(thread, call_took(thread));
}

// The call that the thread has made without the GIL is over.
static inline void
end_call(_PyPth_thread *self)
{
    static _PyPth_thread *last_caller = NULL;
    uint64_t took = call_took(self);
    if (took > LONG_US * _PyPth_us_ticks
        && _Py_atomic_load_ptr_relaxed(&last_caller) != self)
    {
        // Several threads make long calls, which run beside each other.  To make
        // room takes long because there are no more processors.
        _Py_atomic_store_ptr_relaxed(&last_caller, self);
        self->room_took = 0;
    }
    int was_long = is_long(self, took);
    if (self->in_call && self->first_calls > 0) {
        note_first_call(self, was_long);
    }
    if (was_long) {
        self->long_calls = LONG_CALLS;
        self->computes = 0;
    }
    else if (self->in_call && self->long_calls > 0) {
        int step = took > 0 && took < self->room_took ? IN_VAIN : 1;
        self->long_calls = Py_MAX(self->long_calls - step, 0);
    }
    if (self->made_room) {
        self->made_room = 0;
        self->blocks = _PyPth_switches != self->switches_then
                       ? BLOCKING_CALLS : self->blocks - 1;
    }
    self->in_call = 0;
    self->dropped_at = 0;
}

void
_PyPth_CallIsLong(_PyPth_thread *thread, int blocks)
{
    if (thread->first_calls > 0) {
        note_first_call(thread, 1);
    }
    // If nobody timed it, end_call() takes it for a short one.
    thread->long_calls = LONG_CALLS + 1;
    thread->blocks = blocks ? BLOCKING_CALLS : 0;
}


/* Who gets the GIL */

static inline struct _gil_runtime_state *
gil_of(_PyPth_cond *cond)
{
    return (struct _gil_runtime_state *)
        ((char *)cond - offsetof(struct _gil_runtime_state, cond));
}

// Conditions of GILs that threads have waited for.
static _PyPth_cond *waited_gils;

void
_PyPth_CondForget(_PyPth_cond *cond)
{
    for (_PyPth_cond **p = &waited_gils; *p != NULL; p = &(*p)->next_waited) {
        if (*p == cond) {
            *p = cond->next_waited;
            break;
        }
    }
    cond->waited = 0;
}

void
_PyPth_CondInit(_PyPth_cond *cond)
{
    // Py_Initialize() has overwritten that of the last Py_Finalize().
    _PyPth_Lock();
    _PyPth_CondForget(cond);
    memset(cond, 0, sizeof(*cond));
    _PyPth_Unlock();
}

void
_PyPth_CondFini(_PyPth_cond *cond)
{
    _PyPth_Lock();
    _PyPth_CondForget(cond);
    for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
        // Who has ended the interpreter goes on with another GIL.
        if (t->gil == gil_of(cond)) {
            t->gil = NULL;
        }
    }
    _PyPth_Unlock();
}

// A kernel thread that waits for the GIL is slow to wake, and whoever Pth runs
// next would always have taken it by then.  So it is kept for one whose turn it
// is: because the holder was asked for it, or one of Pth was quicker once.

// The caller was woken for it, and has not taken it yet.
static _Py_thread_local char woken_for_gil = 0;

// Who computes lets those go first that have waited for something else, as in the
// list of the woken.  But the first of them has its turn when it has waited for a
// slice, for the others may come again and again.
static inline _PyPth_thread *
first_for_gil(_PyPth_cond *cond)
{
    _PyPth_CheckQueue(&cond->waiters);
    _PyPth_CheckQueue(&cond->computing);
    _PyPth_thread *first = cond->waiters.head;
    _PyPth_thread *computing = cond->computing.head;
    return first == NULL || (computing != NULL && cond->turn_of_computing)
           ? computing : first;
}

void
_PyPth_CondWakeFirst(_PyPth_cond *cond)
{
    _PyPth_thread *first = first_for_gil(cond);
    if (first == NULL) {
        return;
    }
    if (first == cond->computing.head) {
        cond->turn_of_computing = 0;
    }
    cond->handing = 1;
    if (first->kernel_wait && cond->owed) {
        cond->promised = 1;
        _PyPth_WakeThread(first, _PyPth_PROMISED);
    }
    else {
        if (!first->kernel_wait && !first->computes && !_PyPth_slice_expired
            && _PyPth_IsCurrent() && _PyPth_self->computes)
        {
            // The caller would have it again, after a short call, by then.
            _PyPth_slice_expired = _PyPth_LOOK;
        }
        _PyPth_WakeThread(first, _PyPth_WOKEN);
    }
    cond->owed = 0;
}

_PyPth_result
_PyPth_CondWait(_PyPth_cond *cond)
{
    // Nobody else asks the holder.  Without memory for it, waiting is all.
    static char cannot_ask = 0;
    if (!cannot_ask && _PyPth_NeedsMonitor()) {
        _PyPth_Unlock();
        int started = _PyPth_StartFirstMonitor();
        _PyPth_Lock();
        cannot_ask = (started < 0);
        // What it waits for may have come meanwhile.
        return _PyPth_WOKEN;
    }
    cannot_ask = 0;
    int flags = _PyPth_FOR_TURN;
    if (woken_for_gil) {
        // Somebody else has taken it meanwhile, but it has waited longest.
        cond->owed |= (cond->quick && _PyPth_WaitsInKernel(_PyPth_self));
        flags |= _PyPth_AT_FRONT;
    }
    if (!cond->waited) {
        cond->waited = 1;
        cond->since = 0;
        cond->next_waited = waited_gils;
        waited_gils = cond;
    }
    if (_PyPth_self != NULL) {
        end_call(_PyPth_self);
    }
    _PyPth_queue *queue = _PyPth_self != NULL && _PyPth_self->computes
                          ? &cond->computing : &cond->waiters;
    _PyPth_result result = _PyPth_Wait(queue, _PyPth_FOREVER, flags);
    woken_for_gil = 1;
    return result;
}

static void
request_drop(struct _gil_runtime_state *gil)
{
    PyThreadState *holder = gil->last_holder;
    if (gil->locked <= 0 || holder == NULL) {
        return;
    }
    // From then on the other thread states are freed (Py_Finalize()), and a thread
    // that takes the GIL for one of them is about to end (take_gil() in ceval_gil.c).
    PyThreadState *finalizing = _PyRuntimeState_GetFinalizing(&_PyRuntime);
    if (finalizing == NULL || finalizing == holder) {
        _Py_set_eval_breaker_bit(holder, _PY_GIL_DROP_REQUEST_BIT);
    }
}

volatile int _PyPth_several_gils = 0;

#define DEFAULT_SLICE 5000        // as DEFAULT_INTERVAL in ceval_gil.c

int
_PyPth_HasOtherGIL(_PyPth_thread *thread)
{
    for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
        if (t->gil != NULL && t->gil != thread->gil && t != thread
            && (t->in_woken || t->counted))
        {
            return 1;
        }
    }
    return 0;
}

PyTime_t
_PyPth_SliceOf(struct _gil_runtime_state *gil)
{
    // _PyEval_SetSwitchInterval() takes whatever fits, 0, too.
    unsigned long us = gil != NULL ? Py_MAX(gil->interval, 1) : DEFAULT_SLICE;
    return us <= PyTime_MAX / 1000 ? (PyTime_t)us * 1000 : PyTime_MAX;
}

PyTime_t
_PyPth_CheckGILs(PyTime_t now)
{
    PyTime_t shortest = 0;
    for (_PyPth_cond *cond = waited_gils; cond != NULL;
         cond = cond->next_waited)
    {
        struct _gil_runtime_state *gil = gil_of(cond);
        if (first_for_gil(cond) == NULL) {
            continue;
        }
        PyTime_t slice = _PyPth_SliceOf(gil);
        if (cond->computing.head != cond->passed) {
            cond->passed = cond->computing.head;
            cond->passed_since = now;
        }
        else if (now - cond->passed_since >= slice) {
            cond->turn_of_computing = (cond->passed != NULL);
        }
        if (shortest == 0 || slice < shortest) {
            shortest = slice;
        }
        if (cond->since == 0 || cond->seen != gil->switch_number) {
            cond->seen = gil->switch_number;
            cond->since = now;
        }
        else if (now - cond->since >= slice) {
            cond->owed = 1;
            request_drop(gil);
        }
    }
    return shortest;
}

void
_PyPth_EndSliceOf(_PyPth_thread *thread, int only_look)
{
    if (!only_look) {
        _PyPth_slice_expired = 1;
    }
    else if (!_PyPth_slice_expired) {
        _PyPth_slice_expired = _PyPth_LOOK;
    }
    if (!thread->nogil && thread->gil != NULL) {
        request_drop(thread->gil);
    }
}

// The call that begins is likely to be long.  To wake a kernel thread, with this
// thread or another one, takes a microsecond or thirty: the machine may be a virtual
// one.
static void
make_room(_PyPth_thread *self)
{
    _PyPth_Lock();
    if (!_PyPth_IsCurrent()) {
        _PyPth_Unlock();
        return;
    }
    self->made_room = (self->blocks > 0);
    self->switches_then = _PyPth_switches;
    uint64_t start = _PyPth_ReadTicks();
    _PyPth_MakeRoom(self);
    uint64_t took = _PyPth_ReadTicks() - start;
    if (took < self->room_took) {
        self->room_took = took;
    }
    else {
        // It may have been an accident, as long as that was.
        uint64_t more = Py_MIN(took - self->room_took, 1000 * _PyPth_us_ticks);
        self->room_took += more / 8;
    }
}

void
_PyPth_GILDropped(struct _gil_runtime_state *gil, PyThreadState *tstate)
{
    _PyPth_thread *self = _PyPth_self;
    // When others have run, Py_Finalize() may have freed the thread state.
    int asked = (gil->cond.handing && tstate != NULL
                 && _Py_eval_breaker_bit_is_set(tstate, _PY_GIL_DROP_REQUEST_BIT));
    if (self != NULL) {
        self->nogil = 1;
        if (tstate == NULL) {
            // For the last time.
            self->gil = NULL;
            return;
        }
        if (_PyPth_nthreads <= 1) {
            return;
        }
        if (_PyPth_all_alone && !self->alone) {
            // It may be about to call what this is for.
            _PyPth_ToOwnKernel(1);
        }
        self->in_call = PTH_CALLS;
        int yielded = 0;
        if (_PyPth_slice_expired && _PyPth_lock == self) {
            yielded = 1;
            _PyPth_Lock();
            if (_PyPth_IsCurrent()) {
                _PyPth_EndSlice(self);
            }
            _PyPth_Unlock();
            self->nogil = 1;
        }
        if (_PyPth_lock == self) {
            if (self->parks) {
                // The backend does not block.
            }
            else if (self->long_calls > 0
                     && (_PyPth_AnyReady()
                         || (self->blocks > 0 && _PyPth_SomeoneWaits())))
            {
                make_room(self);
            }
            else if (!_PyPth_map_syscalls && !yielded) {
                _PyPth_Yield();
                _PyPth_LeaveFirst();
            }
        }
    }
    // Its holder was asked for the GIL, so somebody else shall have it (as
    // FORCE_SWITCHING in ceval_gil.c).  Threads that Pth schedules have got it
    // in _PyPth_EndSlice().
    if (asked && gil->cond.handing) {
        _PyPth_Lock();
        if (gil->cond.handing && gil->last_holder == tstate) {
            // Who was to have it may have ended instead.
            (void)_PyPth_Wait(&gil->cond.switched,
                              _PyPth_Deadline(5000000), _PyPth_FOR_TURN);
            if (self != NULL && _PyPth_IsCurrent()) {
                // They may have waited for their turn longer.
                (void)_PyPth_RunOthers(self, 0);
            }
        }
        _PyPth_Unlock();
    }
    if (self != NULL && (_PyPth_time_calls || self->long_calls > 0)) {
        _PyPth_time_calls = 0;
        self->dropped_at = _PyPth_ReadTicks();
        // So that it is tried again some time.
        self->room_took -= self->room_took / 16;
    }
}

void
_PyPth_GILTaken(struct _gil_runtime_state *gil)
{
    gil->cond.handing = 0;
    gil->cond.owed = 0;
    gil->cond.promised = 0;
    gil->cond.quick = _PyPth_IsCurrent();
    woken_for_gil = 0;
    if (gil->cond.switched.head != NULL) {
        (void)_PyPth_WakeAll(&gil->cond.switched);
    }
    _PyPth_thread *self = _PyPth_self;
    if (self == NULL) {
        return;
    }
    if (self->gil != gil) {
        static struct _gil_runtime_state *first = NULL;
        self->gil = gil;
        if (first == NULL) {
            first = gil;
        }
        else if (gil != first) {
            _PyPth_several_gils = 1;
        }
    }
    self->nogil = 0;
    end_call(self);
    if (_PyPth_all_alone && !self->alone && _PyPth_CanLend()) {
        // The same where it calls that with the GIL.
        _PyPth_GoAlone(self);
    }
}

void
_PyPth_ForgetGILs(void)
{
    waited_gils = NULL;
}
