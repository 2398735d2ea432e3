// An extension module of C++: the current exception and the thread_local objects
// of a thread.  See use_whole.py.

#include <Python.h>

#include <atomic>
#include <stdexcept>
#include <string>

// Call func() and drop its result; false if it has raised.
static bool
call(PyObject *func)
{
    PyObject *result = PyObject_CallNoArgs(func);
    Py_XDECREF(result);
    return result != nullptr;
}

// rethrow(text, func) -> the text of the exception that is caught, after func()
// was called in a catch block and that has thrown again.
static PyObject *
rethrow(PyObject *, PyObject *args)
{
    const char *text;
    PyObject *func;
    if (!PyArg_ParseTuple(args, "sO", &text, &func)) {
        return nullptr;
    }
    try {
        try {
            throw std::runtime_error(text);
        }
        catch (const std::exception &) {
            if (!call(func)) {
                return nullptr;
            }
            throw;
        }
    }
    catch (const std::exception &e) {
        return PyUnicode_FromString(e.what());
    }
}

static thread_local long kept = 0;

// keep(value, func) -> (the thread_local variable before, and after func())
static PyObject *
keep(PyObject *, PyObject *args)
{
    long value, before = kept;
    PyObject *func;
    if (!PyArg_ParseTuple(args, "lO", &value, &func)) {
        return nullptr;
    }
    kept = value;
    if (!call(func)) {
        return nullptr;
    }
    return Py_BuildValue("ll", before, kept);
}

static std::atomic<int> destroyed;

struct Object {
    bool touched = false;

    ~Object()
    {
        destroyed += touched;
    }
};

static thread_local Object object;

// touch() -> has this thread touched its object before?
static PyObject *
touch(PyObject *, PyObject *)
{
    bool before = object.touched;
    object.touched = true;
    return PyBool_FromLong(before);
}

// How many touched objects were destroyed.
static PyObject *
count_destroyed(PyObject *, PyObject *)
{
    return PyLong_FromLong(destroyed);
}

static PyMethodDef methods[] = {
    {"rethrow", rethrow, METH_VARARGS},
    {"keep", keep, METH_VARARGS},
    {"touch", touch, METH_NOARGS},
    {"count_destroyed", count_destroyed, METH_NOARGS},
    {}
};

static PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "whole_cxx", nullptr, -1, methods,
};

PyMODINIT_FUNC
PyInit_whole_cxx()
{
    return PyModule_Create(&module);
}
