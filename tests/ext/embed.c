/* Programs that embed Python.  See tests/embed.t.
 *
 * usage: embed PYTHON CASE
 *
 * PYTHON is the python of the build, beside which the standard library is found.
 * Exit status: 0 the case went well, 1 it did not, 2 wrong usage.
 */

#include <Python.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *python;

static void
start_python(void)
{
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.install_signal_handlers = 1;
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name,
                                              python);
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
}

static void
run(const char *code)
{
    if (PyRun_SimpleString(code) != 0) {
        exit(1);
    }
}

static const char threads[] =
    "import threading, time\n"
    "lock = threading.Lock()\n"
    "done = []\n"
    "def work(i):\n"
    "    time.sleep(0.0005 * (i % 3))\n"
    "    with lock:\n"
    "        done.append(i)\n"
    "ts = [threading.Thread(target=work, args=(i,)) for i in range(20)]\n"
    "for t in ts: t.start()\n"
    "for t in ts: t.join()\n"
    "assert sorted(done) == list(range(20)), done\n";

// Each has its turn.
static const char computing[] =
    "import threading, time\n"
    "n = [0, 0]\n"
    "stop = []\n"
    "def count(i):\n"
    "    while not stop: n[i] += 1\n"
    "ts = [threading.Thread(target=count, args=(i,)) for i in range(2)]\n"
    "for t in ts: t.start()\n"
    "while not all(n): time.sleep(0.001)\n"
    "stop.append(1)\n"
    "for t in ts: t.join()\n";

// A thread that is blocked, and one that computes, when Python is finalized.
static const char daemons[] =
    "gate = threading.Event()\n"
    "threading.Thread(target=gate.wait, daemon=True).start()\n"
    "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    "time.sleep(0.01)\n";

// Python's signals come to the thread that started it.
static const char signals[] =
    "import os, signal\n"
    "seen = []\n"
    "signal.signal(signal.SIGUSR1, lambda *a: seen.append(threading.get_ident()))\n"
    "t = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1))\n"
    "t.start()\n"
    "t.join()\n"
    "while not seen: time.sleep(0.001)\n"
    "assert seen == [threading.main_thread().ident], seen\n";

static int
again(void)
{
    for (int i = 0; i < 10; i++) {
        start_python();
        run(threads);
        if (Py_FinalizeEx() < 0) {
            return 1;
        }
    }
    return 0;
}

static int
again_with_daemons(void)
{
    for (int i = 0; i < 5; i++) {
        start_python();
        run(threads);
        run(daemons);
        if (Py_FinalizeEx() < 0) {
            return 1;
        }
    }
    return 0;
}

static void *
in_second_thread(void *failed)
{
    start_python();
    run(threads);
    run(signals);
    run(threads);
    *(int *)failed = Py_FinalizeEx() < 0;
    return NULL;
}

static int
second_thread(void)
{
    pthread_t thread;
    int failed = 1;
    if (pthread_create(&thread, NULL, in_second_thread, &failed) != 0) {
        return 1;
    }
    pthread_join(thread, NULL);
    return failed;
}

// Python computes in two threads, in a kernel thread that is new each time, or
// now in one, now in the first.
static void *
compute(void *failed)
{
    start_python();
    run(computing);
    *(int *)failed |= Py_FinalizeEx() < 0;
    return NULL;
}

static int
in_new_thread(void)
{
    pthread_t thread;
    int failed = 0;
    if (pthread_create(&thread, NULL, compute, &failed) != 0) {
        return 1;
    }
    pthread_join(thread, NULL);
    return failed;
}

static int
again_in_other_threads(void)
{
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        failed |= in_new_thread();
    }
    return failed;
}

static int
again_here_and_there(void)
{
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        failed |= in_new_thread();
        (void)compute(&failed);
    }
    return failed;
}

static int
interpreters(void)
{
    start_python();
    PyThreadState *main_tstate = PyThreadState_Get();
    for (int i = 0; i < 5; i++) {
        PyThreadState *tstate = Py_NewInterpreter();
        if (tstate == NULL) {
            return 1;
        }
        run(threads);
        Py_EndInterpreter(tstate);
        PyThreadState_Swap(main_tstate);

        PyInterpreterConfig config = {
            .check_multi_interp_extensions = 1,
            .allow_threads = 1,
            .gil = PyInterpreterConfig_OWN_GIL,
        };
        PyStatus status = Py_NewInterpreterFromConfig(&tstate, &config);
        if (PyStatus_Exception(status)) {
            return 1;
        }
        run(threads);
        Py_EndInterpreter(tstate);
        PyThreadState_Swap(main_tstate);
        run(threads);
    }
    return Py_FinalizeEx() < 0;
}

static int pipe_of_foreign[2];

static void *
foreign(void *got)
{
    *(ssize_t *)got = read(pipe_of_foreign[0], (char[1]){0}, 1);
    return NULL;
}

// A kernel thread of the program's own that only blocks.
static int
foreign_thread_blocks(void)
{
    pthread_t thread;
    ssize_t got = -1;
    if (pipe(pipe_of_foreign) != 0) {
        return 1;
    }
    start_python();
    run(threads);
    if (pthread_create(&thread, NULL, foreign, &got) != 0) {
        return 1;
    }
    for (int i = 0; i < 10; i++) {
        run(threads);
    }
    run(signals);
    if (write(pipe_of_foreign[1], "x", 1) != 1) {
        return 1;
    }
    pthread_join(thread, NULL);
    return Py_FinalizeEx() < 0 || got != 1;
}

// Kernel threads of the program's own that call Python, while a thread of
// Python waits, and the program does not hold the GIL.
static void *
call_python(void *Py_UNUSED(arg))
{
    for (int i = 0; i < 20; i++) {
        PyGILState_STATE state = PyGILState_Ensure();
        run("import time\n"
            "time.sleep(0.0005)\n"
            "sum(range(1000))\n");
        PyGILState_Release(state);
        usleep(100);
    }
    return NULL;
}

static int
foreign_threads_call(void)
{
    pthread_t call[4];
    start_python();
    for (int times = 0; times < 2; times++) {
        PyThreadState *tstate = PyEval_SaveThread();
        for (int i = 0; i < 4; i++) {
            if (pthread_create(&call[i], NULL, call_python, NULL) != 0) {
                return 1;
            }
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(call[i], NULL);
        }
        PyEval_RestoreThread(tstate);
        // Again when Python has threads of its own.
        run(threads);
        run(daemons);
    }
    return Py_FinalizeEx() < 0;
}

static const struct {
    const char *name;
    int (*func)(void);
} cases[] = {
    {"again", again},
    {"again_with_daemons", again_with_daemons},
    {"second_thread", second_thread},
    {"interpreters", interpreters},
    {"foreign_thread_blocks", foreign_thread_blocks},
    {"foreign_threads_call", foreign_threads_call},
    {"again_in_other_threads", again_in_other_threads},
    {"again_here_and_there", again_here_and_there},
};

int
main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < Py_ARRAY_LENGTH(cases); i++) {
        if (strcmp(argv[2], cases[i].name) == 0) {
            python = argv[1];
            return cases[i].func();
        }
    }
    fprintf(stderr, "usage: embed PYTHON CASE\n");
    return 2;
}
