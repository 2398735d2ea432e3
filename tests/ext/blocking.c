/* An extension module whose functions block in a call of the C library, without
 * the GIL: each mapped call (docs/syscalls.md) has one of its name.
 *
 * A function returns (result, errno), and then what it has received, if
 * anything.  It does not retry a call that a signal has interrupted.
 *
 * Compiled as it is, as "blocking", and with -DFORTIFIED -D_FORTIFY_SOURCE=2 as
 * "blocking_fortified": then the C library's headers call __read_chk() instead
 * of read(), and so on.
 */

#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Not a constant for the compiler, so that lengths are checked at run time. */
static volatile size_t one = 1;

/* Make the call `expr` without the GIL; `result` and `err` are its outcome. */
#define CALL(expr)                  \
    Py_BEGIN_ALLOW_THREADS          \
    errno = 0;                      \
    result = (long long)(expr);     \
    err = errno;                    \
    Py_END_ALLOW_THREADS

#define OUTCOME Py_BuildValue("Li", result, err)

/* A function `name` of integers (a, b, c, d), those not given are 0. */
#define INTEGERS                                                \
    long long result, a = 0, b = 0, c = 0, d = 0;               \
    int err;                                                    \
    if (!PyArg_ParseTuple(args, "|LLLL", &a, &b, &c, &d)) {     \
        return NULL;                                            \
    }

#define FUNCTION(name) static PyObject *py_ ## name(PyObject *self, PyObject *args)

#define SIZE 65536

static PyObject *
received(long long result, int err, const char *buf)
{
    return Py_BuildValue("Liy#", result, err, buf,
                         (Py_ssize_t)(result > 0 ? result : 0));
}

/* Seconds to a timespec; NULL for a negative number. */
static struct timespec *
to_timespec(double seconds, struct timespec *ts)
{
    if (seconds < 0) {
        return NULL;
    }
    ts->tv_sec = (time_t)seconds;
    ts->tv_nsec = (long)((seconds - (double)ts->tv_sec) * 1e9);
    return ts;
}

/* The mask for a call that takes one: -2 none at all, -1 an empty one, or one
   signal. */
static sigset_t *
to_mask(int signum, sigset_t *mask)
{
    if (signum == -2) {
        return NULL;
    }
    sigemptyset(mask);
    if (signum > 0) {
        sigaddset(mask, signum);
    }
    return mask;
}

/* --- files, pipes, terminals */

FUNCTION(read)
{
    INTEGERS
    char buf[SIZE];
    CALL(read((int)a, buf, (size_t)b * one))
    return received(result, err, buf);
}

FUNCTION(readv)
{
    INTEGERS
    char buf[SIZE];
    struct iovec iov[2] = {{buf, 3}, {buf + 3, (size_t)b - 3}};
    CALL(readv((int)a, iov, 2))
    return received(result, err, buf);
}

FUNCTION(write)
{
    int fd, err;
    Py_buffer data;
    long long result;
    if (!PyArg_ParseTuple(args, "iy*", &fd, &data)) {
        return NULL;
    }
    CALL(write(fd, data.buf, (size_t)data.len))
    PyBuffer_Release(&data);
    return OUTCOME;
}

FUNCTION(writev)
{
    int fd, err;
    Py_buffer data;
    long long result;
    if (!PyArg_ParseTuple(args, "iy*", &fd, &data)) {
        return NULL;
    }
    struct iovec iov[2] = {{data.buf, 1},
                           {(char *)data.buf + 1, (size_t)data.len - 1}};
    CALL(writev(fd, iov, 2))
    PyBuffer_Release(&data);
    return OUTCOME;
}

FUNCTION(sendfile)
{
    INTEGERS
    off_t offset = (off_t)c;
    CALL(sendfile((int)a, (int)b, &offset, (size_t)d))
    return Py_BuildValue("LiL", result, err, (long long)offset);
}

FUNCTION(splice)
{
    INTEGERS
    CALL(splice((int)a, NULL, (int)b, NULL, (size_t)c, (unsigned int)d))
    return OUTCOME;
}

FUNCTION(tee)
{
    INTEGERS
    CALL(tee((int)a, (int)b, (size_t)c, (unsigned int)d))
    return OUTCOME;
}

FUNCTION(vmsplice)
{
    INTEGERS
    static char data[SIZE];
    struct iovec iov = {data, (size_t)b};
    CALL(vmsplice((int)a, &iov, 1, (unsigned int)c))
    return OUTCOME;
}

FUNCTION(open)
{
    const char *path;
    int flags, err;
    long long result;
    if (!PyArg_ParseTuple(args, "si", &path, &flags)) {
        return NULL;
    }
    CALL(open(path, flags * (int)one))
    return OUTCOME;
}

FUNCTION(openat)
{
    const char *path;
    int flags, err;
    long long result;
    if (!PyArg_ParseTuple(args, "si", &path, &flags)) {
        return NULL;
    }
    CALL(openat(AT_FDCWD, path, flags * (int)one))
    return OUTCOME;
}

FUNCTION(open_mode)
{
    const char *path;
    int flags, err;
    unsigned int mode;
    long long result;
    if (!PyArg_ParseTuple(args, "siI", &path, &flags, &mode)) {
        return NULL;
    }
    CALL(open(path, flags, (mode_t)mode))
    return OUTCOME;
}

FUNCTION(creat)
{
    const char *path;
    unsigned int mode;
    int err;
    long long result;
    if (!PyArg_ParseTuple(args, "sI", &path, &mode)) {
        return NULL;
    }
    CALL(creat(path, (mode_t)mode))
    return OUTCOME;
}

FUNCTION(flock)
{
    INTEGERS
    CALL(flock((int)a, (int)b))
    return OUTCOME;
}

FUNCTION(lockf)
{
    INTEGERS
    CALL(lockf((int)a, (int)b, (off_t)c))
    return OUTCOME;
}

FUNCTION(fcntl_lock)
{
    INTEGERS
    struct flock lock;
    memset(&lock, 0, sizeof(lock));
    lock.l_type = (short)c;
    lock.l_whence = SEEK_SET;
    lock.l_start = (off_t)d;
    lock.l_len = 1;
    CALL(fcntl((int)a, (int)b, &lock))
    return OUTCOME;
}

/* --- stdio: a stream of its own for each call */

#define STREAM                                  \
    FILE *f = fdopen(dup((int)a), "r");         \
    if (f == NULL) {                            \
        return PyErr_SetFromErrno(PyExc_OSError);   \
    }

FUNCTION(fgets)
{
    INTEGERS
    char buf[SIZE] = "";
    STREAM
    CALL(fgets(buf, (int)((size_t)b * one), f) != NULL)
    int error = ferror(f), end = feof(f);
    fclose(f);
    return Py_BuildValue("Liyii", result, err, result ? buf : "", !!error, !!end);
}

FUNCTION(getc)
{
    INTEGERS
    STREAM
    CALL(getc(f))
    fclose(f);
    return OUTCOME;
}

FUNCTION(fread)
{
    INTEGERS
    char buf[SIZE];
    STREAM
    CALL(fread(buf, 1, (size_t)b * one, f))
    fclose(f);
    return received(result, err, buf);
}

FUNCTION(getline)
{
    INTEGERS
    char *line = NULL;
    size_t size = 0;
    STREAM
    CALL(getline(&line, &size, f))
    fclose(f);
    PyObject *outcome = received(result, err, line);
    free(line);
    return outcome;
}

/* --- sockets */

FUNCTION(recv)
{
    INTEGERS
    char buf[SIZE];
    CALL(recv((int)a, buf, (size_t)b * one, (int)c))
    return received(result, err, buf);
}

FUNCTION(recvfrom)
{
    INTEGERS
    char buf[SIZE];
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    CALL(recvfrom((int)a, buf, (size_t)b * one, (int)c,
                  (struct sockaddr *)&addr, &len))
    return received(result, err, buf);
}

/* The result has what was received, the descriptors and the flags. */
FUNCTION(recvmsg)
{
    INTEGERS
    char buf[SIZE];
    union {
        char buf[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov[2] = {{buf, 3}, {buf + 3, (size_t)b - 3}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof(control.buf)};
    CALL(recvmsg((int)a, &msg, (int)c))
    PyObject *fds = PyList_New(0);
    if (result >= 0) {
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h != NULL;
             h = CMSG_NXTHDR(&msg, h))
        {
            for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
                PyObject *number = PyLong_FromLong(fd);
                PyList_Append(fds, number);
                Py_DECREF(number);
            }
        }
    }
    return Py_BuildValue("Liy#Ni", result, err, buf,
                         (Py_ssize_t)(result > 0 ? result : 0), fds,
                         result >= 0 ? msg.msg_flags : 0);
}

/* (fd, messages, flags, milliseconds < 0: no timeout) of up to 16 bytes each. */
FUNCTION(recvmmsg)
{
    INTEGERS
    char buf[16][16];
    struct iovec iov[16];
    struct mmsghdr vec[16];
    memset(vec, 0, sizeof(vec));
    for (int i = 0; i < 16; i++) {
        iov[i] = (struct iovec){buf[i], 16};
        vec[i].msg_hdr.msg_iov = &iov[i];
        vec[i].msg_hdr.msg_iovlen = 1;
    }
    struct timespec ts, *timeout = to_timespec((double)d / 1e3, &ts);
    CALL(recvmmsg((int)a, vec, (unsigned int)b, (int)c, timeout))
    PyObject *messages = PyList_New(0);
    for (long long i = 0; i < result; i++) {
        PyObject *data = PyBytes_FromStringAndSize(buf[i], vec[i].msg_len);
        PyList_Append(messages, data);
        Py_DECREF(data);
    }
    return Py_BuildValue("LiN", result, err, messages);
}

FUNCTION(send)
{
    int fd, flags = 0, err;
    Py_buffer data;
    long long result;
    if (!PyArg_ParseTuple(args, "iy*|i", &fd, &data, &flags)) {
        return NULL;
    }
    CALL(send(fd, data.buf, (size_t)data.len, flags))
    PyBuffer_Release(&data);
    return OUTCOME;
}

FUNCTION(sendto)
{
    int fd, flags = 0, err;
    Py_buffer data;
    long long result;
    if (!PyArg_ParseTuple(args, "iy*|i", &fd, &data, &flags)) {
        return NULL;
    }
    CALL(sendto(fd, data.buf, (size_t)data.len, flags, NULL, 0))
    PyBuffer_Release(&data);
    return OUTCOME;
}

/* (fd, data, flags, descriptor to pass or -1) */
FUNCTION(sendmsg)
{
    int fd, flags = 0, pass = -1, err;
    Py_buffer data;
    long long result;
    if (!PyArg_ParseTuple(args, "iy*|ii", &fd, &data, &flags, &pass)) {
        return NULL;
    }
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov[2] = {{data.buf, 1},
                           {(char *)data.buf + 1, (size_t)data.len - 1}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    if (pass >= 0) {
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.buf;
        msg.msg_controllen = sizeof(control.buf);
        struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &pass, sizeof(int));
    }
    CALL(sendmsg(fd, &msg, flags))
    PyBuffer_Release(&data);
    return OUTCOME;
}

/* (fd, data, messages, flags): the same data in each message. */
FUNCTION(sendmmsg)
{
    int fd, n, flags = 0, err;
    Py_buffer data;
    long long result;
    if (!PyArg_ParseTuple(args, "iy*i|i", &fd, &data, &n, &flags)) {
        return NULL;
    }
    struct iovec iov = {data.buf, (size_t)data.len};
    struct mmsghdr vec[16];
    memset(vec, 0, sizeof(vec));
    for (int i = 0; i < 16; i++) {
        vec[i].msg_hdr.msg_iov = &iov;
        vec[i].msg_hdr.msg_iovlen = 1;
    }
    CALL(sendmmsg(fd, vec, (unsigned int)n, flags))
    PyBuffer_Release(&data);
    long long bytes = 0;
    for (long long i = 0; i < result; i++) {
        bytes += vec[i].msg_len;
    }
    return Py_BuildValue("LiL", result, err, bytes);
}

FUNCTION(accept)
{
    INTEGERS
    CALL(accept((int)a, NULL, NULL))
    return OUTCOME;
}

FUNCTION(accept4)
{
    INTEGERS
    CALL(accept4((int)a, NULL, NULL, SOCK_CLOEXEC))
    return OUTCOME;
}

FUNCTION(connect_unix)
{
    int fd, err;
    const char *path;
    long long result;
    if (!PyArg_ParseTuple(args, "is", &fd, &path)) {
        return NULL;
    }
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
    CALL(connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
    return OUTCOME;
}

FUNCTION(connect_port)
{
    INTEGERS
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)b),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    CALL(connect((int)a, (struct sockaddr *)&addr, sizeof(addr)))
    return OUTCOME;
}

/* --- many descriptors */

/* poll([(fd, events), ...], milliseconds, mask) -> ..., revents */
static PyObject *
do_poll(PyObject *args, int with_mask)
{
    PyObject *list;
    double timeout = -1;
    int signum = -2, err;
    long long result;
    if (!PyArg_ParseTuple(args, "O!|di", &PyList_Type, &list, &timeout, &signum)) {
        return NULL;
    }
    struct pollfd fds[2000];
    nfds_t n = (nfds_t)PyList_GET_SIZE(list);
    for (nfds_t i = 0; i < n; i++) {
        int fd, events;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(list, (Py_ssize_t)i), "ii", &fd, &events)) {
            return NULL;
        }
        fds[i] = (struct pollfd){fd, (short)events, 0x7777};
    }
    if (with_mask) {
        struct timespec ts;
        sigset_t mask;
        struct timespec *pts = to_timespec(timeout, &ts);
        sigset_t *pmask = to_mask(signum, &mask);
        CALL(ppoll(fds, n * one, pts, pmask))
    }
    else {
        int ms = timeout < 0 ? -1 : (int)(timeout * 1e3);
        CALL(poll(fds, n * one, ms))
    }
    PyObject *revents = PyList_New(0);
    for (nfds_t i = 0; i < n; i++) {
        PyObject *number = PyLong_FromLong(result >= 0 ? fds[i].revents : 0);
        PyList_Append(revents, number);
        Py_DECREF(number);
    }
    return Py_BuildValue("LiN", result, err, revents);
}

FUNCTION(poll)
{
    return do_poll(args, 0);
}

FUNCTION(ppoll)
{
    return do_poll(args, 1);
}

/* select(nfds, read, write, seconds, mask): descriptors or -1; the sets have
   room for descriptors up to SIZE.  -> ..., readable, writable, seconds left */
static PyObject *
do_select(PyObject *args, int with_mask)
{
    int nfds, rfd, wfd, signum = -2, err;
    double timeout = -1;
    long long result;
    if (!PyArg_ParseTuple(args, "iii|di", &nfds, &rfd, &wfd, &timeout, &signum)) {
        return NULL;
    }
    fd_mask *sets[2];
    for (int i = 0; i < 2; i++) {
        int fd = i ? wfd : rfd;
        sets[i] = calloc(1, SIZE / 8);
        if (fd >= 0) {
            sets[i][fd / NFDBITS] |= 1L << fd % NFDBITS;
        }
    }
    struct timespec ts, *pts = to_timespec(timeout, &ts);
    struct timeval tv = {0, 0};
    if (with_mask) {
        sigset_t mask, *pmask = to_mask(signum, &mask);
        CALL(pselect(nfds, (fd_set *)sets[0], (fd_set *)sets[1], NULL, pts, pmask))
    }
    else {
        if (pts != NULL) {
            tv = (struct timeval){ts.tv_sec, ts.tv_nsec / 1000};
        }
        CALL(select(nfds, (fd_set *)sets[0], (fd_set *)sets[1], NULL,
                    pts ? &tv : NULL))
    }
    int ready[2];
    for (int i = 0; i < 2; i++) {
        int fd = i ? wfd : rfd;
        ready[i] = fd >= 0 && (sets[i][fd / NFDBITS] >> fd % NFDBITS & 1);
        free(sets[i]);
    }
    return Py_BuildValue("Liiid", result, err, ready[0], ready[1],
                         (double)tv.tv_sec + (double)tv.tv_usec / 1e6);
}

FUNCTION(select)
{
    return do_select(args, 0);
}

FUNCTION(pselect)
{
    return do_select(args, 1);
}

/* epoll_wait(epfd, seconds, mask) -> ..., [(fd, events), ...] */
static PyObject *
do_epoll(PyObject *args, int which)
{
    int epfd, signum = -2, err;
    double timeout = -1;
    long long result;
    if (!PyArg_ParseTuple(args, "i|di", &epfd, &timeout, &signum)) {
        return NULL;
    }
    struct epoll_event events[8];
    struct timespec ts, *pts = to_timespec(timeout, &ts);
    sigset_t mask, *pmask = to_mask(signum, &mask);
    int ms = timeout < 0 ? -1 : (int)(timeout * 1e3);
    switch (which) {
    case 0:
        CALL(epoll_wait(epfd, events, 8, ms))
        break;
    case 1:
        CALL(epoll_pwait(epfd, events, 8, ms, pmask))
        break;
    default:
        CALL(epoll_pwait2(epfd, events, 8, pts, pmask))
        break;
    }
    PyObject *list = PyList_New(0);
    for (long long i = 0; i < result; i++) {
        PyObject *event = Py_BuildValue("iI", events[i].data.fd, events[i].events);
        PyList_Append(list, event);
        Py_DECREF(event);
    }
    return Py_BuildValue("LiN", result, err, list);
}

FUNCTION(epoll_wait)
{
    return do_epoll(args, 0);
}

FUNCTION(epoll_pwait)
{
    return do_epoll(args, 1);
}

FUNCTION(epoll_pwait2)
{
    return do_epoll(args, 2);
}

/* --- time */

FUNCTION(sleep)
{
    INTEGERS
    CALL(sleep((unsigned int)a))
    return OUTCOME;
}

FUNCTION(usleep)
{
    INTEGERS
    CALL(usleep((useconds_t)a))
    return OUTCOME;
}

/* nanosleep(ns) -> ..., ns left */
FUNCTION(nanosleep)
{
    INTEGERS
    struct timespec ts = {a / 1000000000, a % 1000000000}, left = {0, 0};
    CALL(nanosleep(&ts, &left))
    return Py_BuildValue("LiL", result, err,
                         (long long)left.tv_sec * 1000000000 + left.tv_nsec);
}

/* clock_nanosleep(clock, flags, ns) -> ..., ns left */
FUNCTION(clock_nanosleep)
{
    INTEGERS
    struct timespec ts = {c / 1000000000, c % 1000000000}, left = {0, 0};
    CALL(clock_nanosleep((clockid_t)a, (int)b, &ts, &left))
    return Py_BuildValue("LiL", result, err,
                         (long long)left.tv_sec * 1000000000 + left.tv_nsec);
}

FUNCTION(pause)
{
    INTEGERS
    CALL(pause())
    return OUTCOME;
}

FUNCTION(sched_yield)
{
    INTEGERS
    CALL(sched_yield())
    return OUTCOME;
}

/* --- child processes and signals */

FUNCTION(wait)
{
    INTEGERS
    int status = 0;
    CALL(wait(&status))
    return Py_BuildValue("Lii", result, err, status);
}

FUNCTION(waitpid)
{
    INTEGERS
    int status = 0;
    CALL(waitpid((pid_t)a, &status, (int)b))
    return Py_BuildValue("Lii", result, err, status);
}

FUNCTION(wait3)
{
    INTEGERS
    int status = 0;
    struct rusage usage;
    CALL(wait3(&status, (int)a, &usage))
    return Py_BuildValue("Lii", result, err, status);
}

FUNCTION(wait4)
{
    INTEGERS
    int status = 0;
    struct rusage usage;
    CALL(wait4((pid_t)a, &status, (int)b, &usage))
    return Py_BuildValue("Lii", result, err, status);
}

FUNCTION(waitid)
{
    INTEGERS
    siginfo_t info = {.si_pid = 0};
    CALL(waitid((idtype_t)a, (id_t)b, &info, (int)c))
    return Py_BuildValue("Liii", result, err, (int)info.si_pid, info.si_status);
}

FUNCTION(system)
{
    const char *command;
    int err;
    long long result;
    if (!PyArg_ParseTuple(args, "s", &command)) {
        return NULL;
    }
    CALL(system(command))
    return OUTCOME;
}

/* popen(), read one line, pclose() */
FUNCTION(popen)
{
    const char *command;
    char buf[100] = "";
    int err;
    long long result;
    if (!PyArg_ParseTuple(args, "s", &command)) {
        return NULL;
    }
    FILE *f = popen(command, "r");
    if (f == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    CALL(fgets(buf, sizeof(buf), f) != NULL ? pclose(f) : -1)
    return Py_BuildValue("Liy", result, err, buf);
}

FUNCTION(sigwait)
{
    INTEGERS
    sigset_t set;
    int signum = 0;
    to_mask((int)a, &set);
    CALL(sigwait(&set, &signum))
    return Py_BuildValue("Lii", result, err, signum);
}

FUNCTION(sigwaitinfo)
{
    INTEGERS
    sigset_t set;
    siginfo_t info;
    to_mask((int)a, &set);
    CALL(sigwaitinfo(&set, &info))
    return OUTCOME;
}

/* sigtimedwait(signal, milliseconds) */
FUNCTION(sigtimedwait)
{
    INTEGERS
    sigset_t set;
    siginfo_t info;
    struct timespec ts, *pts = to_timespec((double)b / 1e3, &ts);
    to_mask((int)a, &set);
    CALL(sigtimedwait(&set, &info, pts))
    return OUTCOME;
}

/* --- semaphores: in memory that child processes share */

static sem_t *sems;

FUNCTION(sem_init)
{
    INTEGERS
    if (sems == NULL) {
        sems = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    CALL(sem_init(&sems[a], 1, (unsigned int)b))
    return OUTCOME;
}

FUNCTION(sem_post)
{
    INTEGERS
    CALL(sem_post(&sems[a]))
    return OUTCOME;
}

FUNCTION(sem_wait)
{
    INTEGERS
    CALL(sem_wait(&sems[a]))
    return OUTCOME;
}

/* (semaphore, milliseconds) */
static struct timespec
from_now(clockid_t clock, long long ms)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    long long ns = ts.tv_nsec + ms * 1000000;
    ts.tv_sec += ns / 1000000000;
    ts.tv_nsec = (long)(ns % 1000000000);
    if (ts.tv_nsec < 0) {
        ts.tv_sec--;
        ts.tv_nsec += 1000000000;
    }
    return ts;
}

FUNCTION(sem_timedwait)
{
    INTEGERS
    struct timespec ts = from_now(CLOCK_REALTIME, b);
    CALL(sem_timedwait(&sems[a], &ts))
    return OUTCOME;
}

FUNCTION(sem_clockwait)
{
    INTEGERS
    struct timespec ts = from_now(CLOCK_MONOTONIC, b);
    CALL(sem_clockwait(&sems[a], CLOCK_MONOTONIC, &ts))
    return OUTCOME;
}

/* Post a semaphore from a kernel thread of C, `b` milliseconds from now. */
static void *
post_later(void *arg)
{
    long long *what = arg;
    usleep((useconds_t)what[1] * 1000);
    sem_post(&sems[what[0]]);
    free(what);
    return NULL;
}

FUNCTION(sem_post_by_c_thread)
{
    INTEGERS
    pthread_t thread;
    long long *what = malloc(2 * sizeof(*what));
    what[0] = a;
    what[1] = b;
    CALL(pthread_create(&thread, NULL, post_later, what))
    pthread_detach(thread);
    return OUTCOME;
}

/* --- name resolution */

static PyObject *
address_list(struct addrinfo *list)
{
    PyObject *found = PyList_New(0);
    for (struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        char host[100] = "", port[100] = "";
        getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
        PyObject *item = Py_BuildValue("iiss", ai->ai_family, ai->ai_socktype,
                                       host, port);
        PyList_Append(found, item);
        Py_DECREF(item);
    }
    return found;
}

/* (host, service, family, flags; flags < 0: no hints) */
FUNCTION(getaddrinfo)
{
    const char *host, *service;
    int family, flags, err;
    long long result;
    if (!PyArg_ParseTuple(args, "zzii", &host, &service, &family, &flags)) {
        return NULL;
    }
    struct addrinfo hints = {.ai_family = family, .ai_flags = flags}, *list = NULL;
    CALL(getaddrinfo(host, service, flags < 0 ? NULL : &hints, &list))
    (void)err;
    PyObject *found = address_list(list);
    if (list != NULL) {
        freeaddrinfo(list);
    }
    return Py_BuildValue("LN", result, found);
}

FUNCTION(getnameinfo)
{
    INTEGERS
    char host[200] = "", serv[200] = "";
    struct sockaddr_in addr = {.sin_family = (sa_family_t)(c ? c : AF_INET),
                               .sin_port = htons((uint16_t)a),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    CALL(getnameinfo((struct sockaddr *)&addr, sizeof(addr), host, sizeof(host),
                     serv, sizeof(serv), (int)b))
    (void)err;
    return Py_BuildValue("Lss", result, host, serv);
}

static PyObject *
host_entry(struct hostent *h, int err)
{
    if (h == NULL) {
        return Py_BuildValue("zi", NULL, err);
    }
    return Py_BuildValue("siy#", h->h_name, h->h_addrtype, h->h_addr_list[0],
                         (Py_ssize_t)h->h_length);
}

FUNCTION(gethostbyname)
{
    const char *name;
    struct hostent *h;
    int err;
    if (!PyArg_ParseTuple(args, "s", &name)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    h = gethostbyname(name);
    err = h_errno;
    Py_END_ALLOW_THREADS
    return host_entry(h, err);
}

FUNCTION(gethostbyname2)
{
    const char *name;
    struct hostent *h;
    int err;
    if (!PyArg_ParseTuple(args, "s", &name)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    h = gethostbyname2(name, AF_INET);
    err = h_errno;
    Py_END_ALLOW_THREADS
    return host_entry(h, err);
}

FUNCTION(gethostbyaddr)
{
    struct hostent *h;
    struct in_addr addr = {htonl(INADDR_LOOPBACK)};
    int err;
    Py_BEGIN_ALLOW_THREADS
    h = gethostbyaddr(&addr, sizeof(addr), AF_INET);
    err = h_errno;
    Py_END_ALLOW_THREADS
    return host_entry(h, err);
}

FUNCTION(gethostbyname_r)
{
    const char *name;
    struct hostent entry, *h = NULL;
    char buf[4096];
    int err = 0;
    if (!PyArg_ParseTuple(args, "s", &name)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    gethostbyname_r(name, &entry, buf, sizeof(buf), &h, &err);
    Py_END_ALLOW_THREADS
    return host_entry(h, err);
}

FUNCTION(gethostbyname2_r)
{
    const char *name;
    struct hostent entry, *h = NULL;
    char buf[4096];
    int err = 0;
    if (!PyArg_ParseTuple(args, "s", &name)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    gethostbyname2_r(name, AF_INET, &entry, buf, sizeof(buf), &h, &err);
    Py_END_ALLOW_THREADS
    return host_entry(h, err);
}

FUNCTION(gethostbyaddr_r)
{
    struct hostent entry, *h = NULL;
    struct in_addr addr = {htonl(INADDR_LOOPBACK)};
    char buf[4096];
    int err = 0;
    Py_BEGIN_ALLOW_THREADS
    gethostbyaddr_r(&addr, sizeof(addr), AF_INET, &entry, buf, sizeof(buf), &h, &err);
    Py_END_ALLOW_THREADS
    return host_entry(h, err);
}

/* --- */

/* Call read() with the GIL held: nobody may run meanwhile. */
FUNCTION(read_with_gil)
{
    INTEGERS
    char buf[SIZE];
    errno = 0;
    result = read((int)a, buf, (size_t)b * one);
    err = errno;
    return received(result, err, buf);
}

#define METHOD(name) {#name, py_ ## name, METH_VARARGS, NULL}

static PyMethodDef methods[] = {
    METHOD(read), METHOD(readv), METHOD(write), METHOD(writev),
    METHOD(sendfile), METHOD(splice), METHOD(tee), METHOD(vmsplice),
    METHOD(open), METHOD(openat), METHOD(open_mode), METHOD(creat),
    METHOD(flock), METHOD(lockf), METHOD(fcntl_lock),
    METHOD(fgets), METHOD(getc), METHOD(fread), METHOD(getline),
    METHOD(recv), METHOD(recvfrom), METHOD(recvmsg), METHOD(recvmmsg),
    METHOD(send), METHOD(sendto), METHOD(sendmsg), METHOD(sendmmsg),
    METHOD(accept), METHOD(accept4), METHOD(connect_unix),
    METHOD(connect_port),
    METHOD(poll), METHOD(ppoll), METHOD(select), METHOD(pselect),
    METHOD(epoll_wait), METHOD(epoll_pwait), METHOD(epoll_pwait2),
    METHOD(sleep), METHOD(usleep), METHOD(nanosleep),
    METHOD(clock_nanosleep), METHOD(pause), METHOD(sched_yield),
    METHOD(wait), METHOD(waitpid), METHOD(wait3), METHOD(wait4),
    METHOD(waitid), METHOD(system), METHOD(popen),
    METHOD(sigwait), METHOD(sigwaitinfo), METHOD(sigtimedwait),
    METHOD(sem_init), METHOD(sem_post), METHOD(sem_wait),
    METHOD(sem_timedwait), METHOD(sem_clockwait),
    METHOD(sem_post_by_c_thread),
    METHOD(getaddrinfo), METHOD(getnameinfo), METHOD(gethostbyname),
    METHOD(gethostbyname2), METHOD(gethostbyaddr), METHOD(gethostbyname_r),
    METHOD(gethostbyname2_r), METHOD(gethostbyaddr_r),
    METHOD(read_with_gil),
    {NULL, NULL, 0, NULL}
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "blocking", NULL, -1, methods,
    NULL, NULL, NULL, NULL
};

PyMODINIT_FUNC
#ifdef FORTIFIED
PyInit_blocking_fortified(void)
#else
PyInit_blocking(void)
#endif
{
    return PyModule_Create(&module);
}
