// GNU Pth backend: its lock.
//
// All that the backend knows is changed under it.  While a thread runs that Pth
// schedules, the lock is set to that thread, which takes it with one instruction
// (_PyPth_Lock()).  All others come here: they look again for a moment, yield, and
// sleep, a few at a time.

#include "pth_internal.h"
#include "pth_machine.h"

#include <limits.h>               // INT_MAX
#include <linux/futex.h>

_Py_thread_local _PyPth_thread *_PyPth_self;
_Py_thread_local char _PyPth_inside;

_PyPth_thread *_PyPth_lock = &_PyPth_main;
_PyPth_thread *_PyPth_after = &_PyPth_main;
unsigned long _PyPth_entries = 0;

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

int
_PyPth_LockSoon(int tries)
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

void
_PyPth_WakeSleeper(void)
{
    if (!_Py_atomic_exchange_int(&lock_woken, 1)) {
        _PyPth_WakeKernel(&bell);
    }
}

void __attribute__((noinline))
_PyPth_WakeForLock(void)
{
    _PyPth_WakeSleeper();
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
    if (_PyPth_LockSoon(100)) {
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

int
_PyPth_IsLockWait(unsigned long address)
{
    return address == (uintptr_t)&bell.go || address == (uintptr_t)&lock_starves;
}

void
_PyPth_ParkUnlocked(void **save, _PyPth_kernel *k, _PyPth_kernel *wake)
{
    if (wake == NULL && _Py_atomic_load_int_relaxed(&_PyPth_lock_sleepers) > 0) {
        wake = &bell;
    }
    _PyPth_Park(save, k, wake, &_PyPth_lock, _PyPth_after);
}

