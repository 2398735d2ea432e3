#include "pth_internal.h"         // _PyPth_Start()

/* GNU Pth threads interface.  The files of the backend: see pycore_pth.h. */

#include <limits.h>               // PTHREAD_STACK_MIN
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>          // SYS_gettid
#include <unistd.h>

/* for safety, ensure a viable minimum stacksize, as thread_pthread.h */
#define THREAD_STACK_MIN        0x8000  /* 32 KiB */

/*
 * Initialization for the current runtime.
 */
static void
PyThread__init_thread(void)
{
    // Pth itself is initialized when the first thread is started.
    _PyPth_Adopt();
}

// The version of the library that runs, "GNU Pth 2.0.7"; with the patches of
// pth/ "GNU Pth 2.0.7+cpython-pth.1".
static PyObject *
pth_version_info(void)
{
    // <pth.h>, PTH_VERSION: 0xVRRTLL, where T is 0 for an alpha, 1 for a beta
    // and 2 for a release
    long v = pth_version();
    const char *patches = _PyPth_LibraryPatches();
    return PyUnicode_FromFormat("GNU Pth %d.%d%c%d%s",
                                (int)(v >> 20), (int)(v >> 12 & 0xff),
                                "ab."[(v >> 8 & 0xf) % 3], (int)(v & 0xff),
                                patches != NULL ? patches : "");
}

/*
 * Thread support.
 */

static int
start_thread(void (*func)(void *), void *arg, int detached,
             Py_uintptr_t *ident, struct _PyPth_job **job)
{
    if (!initialized) {
        PyThread_init_thread();
    }
    PyThreadState *tstate = _PyThreadState_GET();
    size_t stacksize = tstate ? tstate->interp->threads.stacksize : 0;
    return _PyPth_Start(func, arg, stacksize, detached, ident, job);
}

int
PyThread_start_joinable_thread(void (*func)(void *), void *arg,
                               PyThread_ident_t* ident,
                               PyThread_handle_t* handle)
{
    Py_uintptr_t id;
    struct _PyPth_job *job;
    if (start_thread(func, arg, 0, &id, &job) < 0) {
        return -1;
    }
    *ident = (PyThread_ident_t)id;
    *handle = (PyThread_handle_t)job;
    return 0;
}

unsigned long
PyThread_start_new_thread(void (*func)(void *), void *arg)
{
    Py_uintptr_t id;
    if (start_thread(func, arg, 1, &id, NULL) < 0) {
        return PYTHREAD_INVALID_THREAD_ID;
    }
    return (unsigned long)id;
}

int
PyThread_join_thread(PyThread_handle_t handle)
{
    _PyPth_Join((struct _PyPth_job *)handle);
    return 0;
}

int
PyThread_detach_thread(PyThread_handle_t handle)
{
    _PyPth_Detach((struct _PyPth_job *)handle);
    return 0;
}

PyThread_ident_t
PyThread_get_thread_ident_ex(void)
{
    if (!initialized) {
        PyThread_init_thread();
    }
    return (PyThread_ident_t)pthread_self();
}

unsigned long
PyThread_get_thread_ident(void)
{
    return (unsigned long)PyThread_get_thread_ident_ex();
}

#ifdef PY_HAVE_THREAD_NATIVE_ID
unsigned long
PyThread_get_thread_native_id(void)
{
    if (!initialized) {
        PyThread_init_thread();
    }
    // Of the thread's own kernel thread, wherever it runs.
    if (_PyPth_self != NULL) {
        return (unsigned long)_PyPth_self->tid;
    }
    return (unsigned long)_PyPth_Sys(SYS_gettid);
}
#endif

void _Py_NO_RETURN
PyThread_exit_thread(void)
{
    if (!initialized) {
        exit(0);
    }
    _PyPth_Exit(NULL);
}

#if PY_VERSION_HEX < 0x030E0000
// In pycore_pythread.h since 3.13.8 (gh-87135).
void _Py_NO_RETURN PyThread_hang_thread(void);
#endif

void _Py_NO_RETURN
PyThread_hang_thread(void)
{
    _PyPth_Lock();
    for (;;) {
        (void)_PyPth_Wait(NULL, _PyPth_FOREVER, 0);
    }
}

#if PY_VERSION_HEX < 0x030F0000   // else a PyMutex, see Python/thread.c
/*
 * Lock support.
 *
 * A lock is a word, which is taken and released by a compare-and-swap while
 * nobody waits for it.  When somebody does, all of it happens with the backend
 * locked.
 *
 * The release wakes the first waiter, but does not give it the lock: the
 * running thread may take it again, as often as it likes, until it waits or
 * its time slice ends.  A waiter that finds the lock taken once more lines up
 * at the front, and the next release hands the lock over to it.  So a lock
 * that is contended costs no switch an acquire, and nobody starves.
 */

#define LOCKED  1
#define WAITERS 2                 /* somebody is in acquire_contended() */

typedef struct {
    uint8_t word;
    char hand_over;               /* the first waiter has lost a race */
    char waking;                  /* a waiter is woken, and has not run yet */
    char freed;                   /* by PyThread_free_lock() */
    int users;                    /* threads in acquire_contended() */
    unsigned int generation;      /* of hand_over, waking, users */
    _PyPth_queue waiters;
} pth_lock;

PyThread_type_lock
PyThread_allocate_lock(void)
{
    if (!initialized) {
        PyThread_init_thread();
    }
    return (PyThread_type_lock)PyMem_RawCalloc(1, sizeof(pth_lock));
}

// A compare-and-swap that is bound to fail costs as much as another one, and
// hand-offs have three of them: so look first.
static inline int
lock_change(pth_lock *lock, uint8_t from, uint8_t to)
{
    return _Py_atomic_load_uint8_relaxed(&lock->word) == from
           && _Py_atomic_compare_exchange_uint8(&lock->word, &from, to);
}

// Forget the waiters that a fork left behind in the parent.
static inline void
lock_check(pth_lock *lock)
{
    if (lock->generation != _PyPth_generation) {
        lock->generation = _PyPth_generation;
        lock->hand_over = 0;
        lock->waking = 0;
        lock->users = 0;
        lock->word &= LOCKED;
    }
}

void
PyThread_free_lock(PyThread_type_lock lock)
{
    pth_lock *thelock = (pth_lock *)lock;
    if (thelock == NULL) {
        return;
    }
    if (_Py_atomic_load_uint8(&thelock->word) & WAITERS) {
        _PyPth_Lock();
        lock_check(thelock);
        // Finalization frees locks that daemon threads wait for: the last of
        // them frees it.
        int used = (thelock->users > 0);
        thelock->freed = (char)used;
        _PyPth_Unlock();
        if (used) {
            return;
        }
    }
    PyMem_RawFree((void *)lock);
}

// The backend is locked, and so nobody else changes a word with WAITERS.
static PyLockStatus
wait_for_lock(pth_lock *lock, PyTime_t deadline, int flags)
{
    int lost = 0;
    for (;;) {
        _PyPth_result result = _PyPth_Wait(&lock->waiters, deadline,
                                           lost ? flags | _PyPth_AT_FRONT
                                                : flags);
        lock_check(lock);
        if (result == _PyPth_WOKEN) {
            lock->waking = 0;
            if (lost) {
                // Handed over: it has been locked for us all the time.
                assert(lock->word & LOCKED);
                return PY_LOCK_ACQUIRED;
            }
        }
        else if (lost) {
            lock->hand_over = 0;
        }
        if (!(lock->word & LOCKED)) {
            lock->word |= LOCKED;
            return PY_LOCK_ACQUIRED;
        }
        if (result == _PyPth_TIMEOUT) {
            return PY_LOCK_FAILURE;
        }
        if (result == _PyPth_INTR) {
            return PY_LOCK_INTR;
        }
        lost = 1;
        lock->hand_over = 1;
    }
}

static PyLockStatus
acquire_contended(pth_lock *lock, PY_TIMEOUT_T microseconds, int intr_flag)
{
    PyTime_t deadline = _PyPth_FOREVER;
    if (microseconds > 0) {
        // bpo-41710: clamp, see thread_pthread.h
        deadline = _PyPth_Deadline(
            _PyTime_FromMicrosecondsClamp(microseconds));
    }
    int flags = intr_flag ? _PyPth_INTERRUPTIBLE : 0;
    PyLockStatus status;
    int gone = 0;
    _PyPth_Lock();
    lock_check(lock);
    // It may change until WAITERS is set.
    for (;;) {
        uint8_t word = _Py_atomic_load_uint8(&lock->word);
        if (!(word & LOCKED)) {
            if (lock_change(lock, word, word | LOCKED)) {
                status = PY_LOCK_ACQUIRED;
                break;
            }
        }
        else if (microseconds == 0) {
            // Another thread was quicker.
            status = PY_LOCK_FAILURE;
            break;
        }
        else if ((word & WAITERS)
                 || lock_change(lock, word, word | WAITERS))
        {
            lock->users++;
            status = wait_for_lock(lock, deadline, flags);
            if (--lock->users == 0) {
                lock->word &= LOCKED;
                gone = lock->freed;
            }
            break;
        }
    }
    _PyPth_Unlock();
    if (gone) {
        PyMem_RawFree((void *)lock);
    }
    return status;
}

PyLockStatus
PyThread_acquire_lock_timed(PyThread_type_lock lock, PY_TIMEOUT_T microseconds,
                            int intr_flag)
{
    pth_lock *thelock = (pth_lock *)lock;
    if (lock_change(thelock, 0, LOCKED)) {
        return PY_LOCK_ACQUIRED;
    }
    if (microseconds == 0
        && (_Py_atomic_load_uint8(&thelock->word) & LOCKED))
    {
        return PY_LOCK_FAILURE;
    }
    return acquire_contended(thelock, microseconds, intr_flag);
}

void
PyThread_release_lock(PyThread_type_lock lock)
{
    pth_lock *thelock = (pth_lock *)lock;
    if (lock_change(thelock, LOCKED, 0)) {
        return;
    }
    _PyPth_Lock();
    lock_check(thelock);
    int handed = 0;
    if (thelock->hand_over) {
        thelock->hand_over = 0;
        handed = _PyPth_Wake(&thelock->waiters);
    }
    if (!handed) {
        _Py_atomic_and_uint8(&thelock->word, (uint8_t)~LOCKED);
        if (!thelock->waking) {
            thelock->waking = (_PyPth_Wake(&thelock->waiters) != 0);
        }
    }
    _PyPth_Unlock();
}

int
_PyThread_at_fork_reinit(PyThread_type_lock *lock)
{
    PyThread_type_lock new_lock = PyThread_allocate_lock();
    if (new_lock == NULL) {
        return -1;
    }

    /* As thread_pthread.h: the old lock is not freed, it may be in use by a
       thread that the child does not have. */

    *lock = new_lock;
    return 0;
}

int
PyThread_acquire_lock(PyThread_type_lock lock, int waitflag)
{
    return PyThread_acquire_lock_timed(lock, waitflag ? -1 : 0,
                                       /*intr_flag=*/0);
}
#endif  // PY_VERSION_HEX < 0x030F0000

/* set the thread stack size.
 * Return 0 if size is valid, -1 if size is invalid,
 * -2 if setting stack size is not supported.
 */
static int
_pythread_pth_set_stacksize(size_t size)
{
    size_t tss_min = THREAD_STACK_MIN;
#if defined(PTHREAD_STACK_MIN)
    if ((size_t)PTHREAD_STACK_MIN > tss_min) {
        tss_min = (size_t)PTHREAD_STACK_MIN;
    }
#endif
    /* 0: set to default */
    if (size != 0 && size < tss_min) {
        return -1;
    }
    _PyInterpreterState_GET()->threads.stacksize = size;
    return 0;
}

#define THREAD_SET_STACKSIZE(x) _pythread_pth_set_stacksize(x)


/* Thread specific storage: keys of pthreads, which the kernel thread's end
   takes along.  They are noted for is_clean() in pth_thread.c. */

char _PyPth_tss_keys[PTHREAD_KEYS_MAX];

static int
key_create(pthread_key_t *key)
{
    int err = pthread_key_create(key, NULL);
    if (err == 0 && *key < PTHREAD_KEYS_MAX) {
        _PyPth_tss_keys[*key] = 1;
    }
    return err;
}

static void
key_delete(pthread_key_t key)
{
    if (key < PTHREAD_KEYS_MAX) {
        _PyPth_tss_keys[key] = 0;
    }
    (void)pthread_key_delete(key);
}


/* Thread Local Storage (TLS) API

   This API is DEPRECATED since Python 3.7.  See PEP 539 for details.
*/

int
PyThread_create_key(void)
{
    pthread_key_t key;
    if (key_create(&key) != 0) {
        return -1;
    }
    if (key > INT_MAX) {
        // bpo-22206: an int cannot tell it
        key_delete(key);
        errno = ENOMEM;
        return -1;
    }
    return (int)key;
}

void
PyThread_delete_key(int key)
{
    key_delete((pthread_key_t)key);
}

void
PyThread_delete_key_value(int key)
{
    (void)pthread_setspecific((pthread_key_t)key, NULL);
}

int
PyThread_set_key_value(int key, void *value)
{
    return pthread_setspecific((pthread_key_t)key, value) != 0 ? -1 : 0;
}

void *
PyThread_get_key_value(int key)
{
    return pthread_getspecific((pthread_key_t)key);
}


void
PyThread_ReInitTLS(void)
{
}


/* Thread Specific Storage (TSS) API

   Platform-specific components of TSS API implementation.
*/

int
PyThread_tss_create(Py_tss_t *key)
{
    assert(key != NULL);
    /* If the key has been created, function is silently skipped. */
    if (key->_is_initialized) {
        return 0;
    }

    if (key_create(&key->_key) != 0) {
        return -1;
    }
    key->_is_initialized = 1;
    return 0;
}

void
PyThread_tss_delete(Py_tss_t *key)
{
    assert(key != NULL);
    /* If the key has not been created, function is silently skipped. */
    if (!key->_is_initialized) {
        return;
    }

    key_delete(key->_key);
    key->_is_initialized = 0;
}

int
PyThread_tss_set(Py_tss_t *key, void *value)
{
    assert(key != NULL);
    return pthread_setspecific(key->_key, value) != 0 ? -1 : 0;
}

void *
PyThread_tss_get(Py_tss_t *key)
{
    assert(key != NULL);
    return pthread_getspecific(key->_key);
}
