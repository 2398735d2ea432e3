/* An extension module that uses the public thread API in C, for tests/abi.t.
 *
 * Compiled twice: as abi_full with everything that <Python.h> gives, and with
 * Py_LIMITED_API as abi_limited. */

#undef NDEBUG
#include <Python.h>

#ifdef Py_LIMITED_API
#  define MODULE "abi_limited"
#  define INIT PyInit_abi_limited
#else
#  define MODULE "abi_full"
#  define INIT PyInit_abi_full
#endif

/* --- PyThread_type_lock */

static void
lock_free(PyObject *capsule)
{
    PyThread_free_lock(PyCapsule_GetPointer(capsule, "lock"));
}

static PyObject *
lock_new(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyThread_type_lock lock = PyThread_allocate_lock();
    if (lock == NULL) {
        return PyErr_NoMemory();
    }
    return PyCapsule_New(lock, "lock", lock_free);
}

/* Wait for microseconds, -1 for ever; then whether the lock was acquired. */
static PyObject *
lock_acquire(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *capsule;
    long long microseconds;
    if (!PyArg_ParseTuple(args, "OL", &capsule, &microseconds)) {
        return NULL;
    }
    PyThread_type_lock lock = PyCapsule_GetPointer(capsule, "lock");
    if (lock == NULL) {
        return NULL;
    }
    PyLockStatus status;
    Py_BEGIN_ALLOW_THREADS
    if (microseconds < 0) {
        status = PyThread_acquire_lock(lock, WAIT_LOCK) ? PY_LOCK_ACQUIRED
                                                        : PY_LOCK_FAILURE;
    }
    else {
        status = PyThread_acquire_lock_timed(lock, microseconds, 0);
    }
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(status == PY_LOCK_ACQUIRED);
}

static PyObject *
lock_release(PyObject *Py_UNUSED(module), PyObject *capsule)
{
    PyThread_type_lock lock = PyCapsule_GetPointer(capsule, "lock");
    if (lock == NULL) {
        return NULL;
    }
    PyThread_release_lock(lock);
    Py_RETURN_NONE;
}

/* --- Py_tss_t */

static Py_tss_t *tss;

/* A number of one's own for each thread, NULL and so 0 before it is set. */
static PyObject *
tss_set(PyObject *Py_UNUSED(module), PyObject *number)
{
    void *value = PyLong_AsVoidPtr(number);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (PyThread_tss_set(tss, value) != 0) {
        PyErr_SetString(PyExc_RuntimeError, "PyThread_tss_set() failed");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
tss_get(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyLong_FromVoidPtr(PyThread_tss_get(tss));
}

static int
tss_init(void)
{
#ifdef Py_LIMITED_API
    tss = PyThread_tss_alloc();
    if (tss == NULL) {
        PyErr_NoMemory();
        return -1;
    }
#else
    static Py_tss_t static_tss = Py_tss_NEEDS_INIT;
    tss = &static_tss;
#endif
    if (PyThread_tss_is_created(tss) || PyThread_tss_create(tss) != 0
        || !PyThread_tss_is_created(tss))
    {
        PyErr_SetString(PyExc_RuntimeError, "PyThread_tss_create() failed");
        return -1;
    }
    return 0;
}

/* --- PyGILState_* */

static void
call(void *callable)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs(callable);
    if (result == NULL) {
        PyErr_WriteUnraisable(callable);
    }
    Py_XDECREF(result);
    Py_DECREF(callable);
    PyGILState_Release(state);
}

/* Call a callable from where the GIL is not held. */
static PyObject *
call_with_gil(PyObject *Py_UNUSED(module), PyObject *callable)
{
    Py_INCREF(callable);
    Py_BEGIN_ALLOW_THREADS
#ifndef Py_LIMITED_API
    assert(!PyGILState_Check());
#endif
    call(callable);
#ifndef Py_LIMITED_API
    assert(!PyGILState_Check());
#endif
    Py_END_ALLOW_THREADS
#ifndef Py_LIMITED_API
    assert(PyGILState_Check());
#endif
    Py_RETURN_NONE;
}

/* Call a callable in a thread that C starts. */
static PyObject *
call_in_thread(PyObject *Py_UNUSED(module), PyObject *callable)
{
    Py_INCREF(callable);
    if (PyThread_start_new_thread(call, callable) == (unsigned long)-1) {
        Py_DECREF(callable);
        PyErr_SetString(PyExc_RuntimeError, "PyThread_start_new_thread() failed");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
ident(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyLong_FromUnsignedLong(PyThread_get_thread_ident());
}

static PyObject *
native_id(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyLong_FromUnsignedLong(PyThread_get_thread_native_id());
}

/* --- what is not in the limited API */

#ifndef Py_LIMITED_API
static PyMutex mutex;

/* The macros have a fast path that is compiled into the module. */
static PyObject *
mutex_lock(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyMutex_Lock(&mutex);
    Py_RETURN_NONE;
}

static PyObject *
mutex_unlock(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyMutex_Unlock(&mutex);
    Py_RETURN_NONE;
}

/* What would make a module of one build wrong in the other. */
static PyObject *
sizes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
#define SIZE(TYPE) #TYPE, sizeof(TYPE)
    return Py_BuildValue(
        "{sn sn sn sn sn sn sn sn}",
        SIZE(Py_tss_t), SIZE(PyMutex), SIZE(PyThread_type_lock),
        SIZE(PyThreadState), SIZE(PyInterpreterConfig), SIZE(PyConfig),
        SIZE(PyGILState_STATE), SIZE(PyObject));
}
#endif

static PyMethodDef methods[] = {
    {"lock_new", lock_new, METH_NOARGS, NULL},
    {"lock_acquire", lock_acquire, METH_VARARGS, NULL},
    {"lock_release", lock_release, METH_O, NULL},
    {"tss_set", tss_set, METH_O, NULL},
    {"tss_get", tss_get, METH_NOARGS, NULL},
    {"call_with_gil", call_with_gil, METH_O, NULL},
    {"call_in_thread", call_in_thread, METH_O, NULL},
    {"ident", ident, METH_NOARGS, NULL},
    {"native_id", native_id, METH_NOARGS, NULL},
#ifndef Py_LIMITED_API
    {"mutex_lock", mutex_lock, METH_NOARGS, NULL},
    {"mutex_unlock", mutex_unlock, METH_NOARGS, NULL},
    {"sizes", sizes, METH_NOARGS, NULL},
#endif
    {NULL, NULL, 0, NULL}
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = MODULE, .m_size = -1, .m_methods = methods
};

PyMODINIT_FUNC
INIT(void)
{
    if (tss_init() < 0) {
        return NULL;
    }
    return PyModule_Create(&module);
}
