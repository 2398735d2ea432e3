// GNU Pth backend: the descriptors that threads wait for.
//
// One thread asks the kernel for all of them, and wakes whose are ready.  Few
// are asked for in one ppoll().  That takes time for each descriptor in each
// call, so once there are more than a few they are put into an epoll set,
// which tells of the ready ones alone.
//
// An epoll set knows files, not descriptor numbers, and other threads may
// close a descriptor, or make its number another file's (epoll(7), Questions
// and answers).  So a registration is good for one event (EPOLLONESHOT), every
// wait renews it, and an event is a hint: whoever is woken asks again.

#include "pth_internal.h"

#include <sys/epoll.h>
#include <sys/syscall.h>          // SYS_close
#include <unistd.h>               // getpid()

// Up to so many descriptors are asked for in ppoll().  Registering a descriptor
// anew costs one system call a wait, about as much as ten more in a ppoll().
#define FEW 8

// A thread that waits for more than this would spend longer on registering
// them: it stays with ppoll().
#define MANY 64

// A thread's wait for one descriptor in the epoll set.
struct _PyPth_fdwait {
    _PyPth_thread *thread;
    struct pollfd *p;
    struct _PyPth_fdwait *next, *prev;    // for the same descriptor
};
typedef struct _PyPth_fdwait fdwait;

nfds_t _PyPth_nfds_waiting = 0;

static _PyPth_thread *direct_head;        // threads that wait by ppoll()
static nfds_t ndirect = 0;                // their descriptors
static struct pollfd first_pollset[FEW + 1];
static struct pollfd *pollset = first_pollset;
static nfds_t pollset_size = FEW + 1;

static int epfd = -1;
static nfds_t nregistered = 0;            // waits for it
static fdwait **by_fd;                    // lists of them, by descriptor
static int by_fd_size = 0;


/* The epoll set */

// Of these the bits of poll() and epoll are the same (kernel,
// include/uapi/linux/eventpoll.h).
#define ALWAYS (POLLERR | POLLHUP | POLLNVAL)

// Register `fd` for what its waiters wait for.  Return 0, or -1 and errno.
static int
arm(int fd)
{
    struct epoll_event ev;
    ev.events = EPOLLONESHOT;
    ev.data.fd = fd;
    for (fdwait *w = by_fd[fd]; w != NULL; w = w->next) {
        ev.events |= (unsigned short)w->p->events & ~ALWAYS;
    }
    if (epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev) == 0) {
        return 0;
    }
    if (errno != ENOENT) {
        return -1;
    }
    return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
}

static void
unlink_waits(_PyPth_thread *thread, nfds_t n)
{
    for (nfds_t i = 0; i < n; i++) {
        fdwait *w = &thread->fdwaits[i];
        if (w->p->fd < 0) {
            continue;
        }
        if (w->prev != NULL) {
            w->prev->next = w->next;
        }
        else {
            by_fd[w->p->fd] = w->next;
        }
        if (w->next != NULL) {
            w->next->prev = w->prev;
        }
        nregistered--;
    }
    free(thread->fdwaits);
    thread->fdwaits = NULL;
}

static int
by_fd_reserve(int fd)
{
    if (fd < by_fd_size) {
        return 0;
    }
    int size = Py_MAX(2 * by_fd_size, fd + 64);
    fdwait **table = realloc(by_fd, size * sizeof(*table));
    if (table == NULL) {
        return -1;
    }
    memset(table + by_fd_size, 0, (size - by_fd_size) * sizeof(*table));
    by_fd = table;
    by_fd_size = size;
    return 0;
}

// Return 0 when all descriptors of the thread are registered, -1 when they
// cannot be.
static int
insert_registered(_PyPth_thread *thread)
{
    if (epfd < 0) {
        epfd = epoll_create1(EPOLL_CLOEXEC);
        if (epfd < 0) {
            return -1;
        }
    }
    thread->fdwaits = malloc(thread->nfds * sizeof(fdwait));
    if (thread->fdwaits == NULL) {
        return -1;
    }
    for (nfds_t i = 0; i < thread->nfds; i++) {
        struct pollfd *p = &thread->fds[i];
        fdwait *w = &thread->fdwaits[i];
        w->thread = thread;
        w->p = p;
        if (p->fd < 0) {
            // poll() ignores it.
            continue;
        }
        if (by_fd_reserve(p->fd) < 0) {
            unlink_waits(thread, i);
            return -1;
        }
        w->prev = NULL;
        w->next = by_fd[p->fd];
        if (w->next != NULL) {
            w->next->prev = w;
        }
        by_fd[p->fd] = w;
        nregistered++;
        // EPERM: a file that poll() calls ready always, or never.
        if (arm(p->fd) < 0 && errno != EPERM) {
            unlink_waits(thread, i + 1);
            return -1;
        }
    }
    return 0;
}

// There is an event for `fd`: wake whose it is.
static void
fd_event(int fd, unsigned int events)
{
    if (fd >= by_fd_size) {
        return;
    }
    fdwait *w = by_fd[fd];
    while (w != NULL) {
        short revents = (short)(events
                                & ((unsigned short)w->p->events | ALWAYS));
        if (revents) {
            w->p->revents = revents;
            _PyPth_WakeThread(w->thread, _PyPth_WOKEN);
            // All waits of that thread have left the list.
            w = by_fd[fd];
        }
        else {
            w = w->next;
        }
    }
    if (by_fd[fd] != NULL && arm(fd) < 0 && errno != EPERM) {
        // They shall find out themselves what is wrong.
        fd_event(fd, POLLNVAL);
    }
}

// The epoll set is gone, or about to be: whoever waits for it is woken, finds
// nothing, and comes back.
static void
lose_set(void)
{
    epfd = -1;
    for (int fd = 0; nregistered > 0; fd++) {
        while (by_fd[fd] != NULL) {
            _PyPth_WakeThread(by_fd[fd]->thread, _PyPth_WOKEN);
        }
    }
}

// Wait up to `timeout` milliseconds (-1: for ever) with `mask`, and wake whose
// descriptors are ready.  Return true if a signal has ended the wait.
static int
take_events(int timeout, const sigset_t *mask)
{
    struct epoll_event events[64];
    int found;
    do {
        found = _PyPth_sys_epoll_pwait(epfd, events, Py_ARRAY_LENGTH(events),
                                       timeout, mask);
        for (int i = 0; i < found; i++) {
            fd_event(events[i].data.fd, events[i].events);
        }
        timeout = 0;
    } while (found == Py_ARRAY_LENGTH(events));
    if (found < 0 && errno == EINTR) {
        return 1;
    }
    if (found < 0) {
        // Closed behind our back.
        lose_set();
    }
    return 0;
}


/* ppoll() */

// Return 0, or -1 if there is no memory.
static int
insert_direct(_PyPth_thread *thread)
{
    // One more for the epoll set.
    nfds_t n = ndirect + thread->nfds + 1;
    if (n > pollset_size) {
        nfds_t size = 2 * n;
        struct pollfd *set = malloc(size * sizeof(*set));
        if (set == NULL) {
            return -1;
        }
        if (pollset != first_pollset) {
            free(pollset);
        }
        pollset = set;
        pollset_size = size;
    }
    ndirect += thread->nfds;
    thread->fds_prev = NULL;
    thread->fds_next = direct_head;
    if (direct_head != NULL) {
        direct_head->fds_prev = thread;
    }
    direct_head = thread;
    return 0;
}

static void
remove_direct(_PyPth_thread *thread)
{
    if (thread->fds_prev != NULL) {
        thread->fds_prev->fds_next = thread->fds_next;
    }
    else {
        direct_head = thread->fds_next;
    }
    if (thread->fds_next != NULL) {
        thread->fds_next->fds_prev = thread->fds_prev;
    }
    ndirect -= thread->nfds;
}

// What ppoll() has found for the direct waiters.
static void
take_direct(const struct pollfd *p)
{
    _PyPth_thread *next;
    for (_PyPth_thread *t = direct_head; t != NULL; t = next) {
        next = t->fds_next;
        nfds_t nfds = t->nfds;
        int ready = 0;
        for (nfds_t i = 0; i < nfds; i++) {
            t->fds[i].revents = p[i].revents;
            ready |= p[i].revents;
        }
        p += nfds;
        if (ready) {
            _PyPth_WakeThread(t, _PyPth_WOKEN);
        }
    }
}


/* For pth_wait.c */

int
_PyPth_InsertFds(_PyPth_thread *thread, struct pollfd *fds, nfds_t nfds)
{
    thread->fds = fds;
    thread->nfds = nfds;
    thread->fdwaits = NULL;
    for (nfds_t i = 0; i < nfds; i++) {
        fds[i].revents = 0;
    }
    int err = errno;
    int few = nregistered == 0 && ndirect + nfds <= FEW;
    if (few || nfds > MANY || insert_registered(thread) < 0) {
        if (insert_direct(thread) < 0) {
            thread->fds = NULL;
            return -1;
        }
    }
    errno = err;
    thread->hinted = (thread->fdwaits != NULL);
    _PyPth_nfds_waiting += nfds;
    return 0;
}

void
_PyPth_RemoveFds(_PyPth_thread *thread)
{
    if (thread->fds == NULL) {
        return;
    }
    if (thread->fdwaits != NULL) {
        // The registrations stay.  Each may come up with one event, for nobody.
        unlink_waits(thread, thread->nfds);
    }
    else {
        remove_direct(thread);
    }
    _PyPth_nfds_waiting -= thread->nfds;
    thread->fds = NULL;
}

int
_PyPth_PollFds(const struct timespec *timeout, const sigset_t *mask)
{
    int err = errno;
    int at_once = timeout != NULL && timeout->tv_sec == 0
                  && timeout->tv_nsec == 0;
    int interrupted = 0;
    if (direct_head == NULL && (at_once || (timeout == NULL && nregistered > 0)))
    {
        // The set alone is asked at once, without ppoll().
        if (nregistered > 0) {
            interrupted = take_events(at_once ? 0 : -1, mask);
        }
        errno = err;
        return at_once ? 0 : interrupted;
    }
    struct pollfd *p = pollset;
    if (nregistered > 0) {
        p->fd = epfd;
        p->events = POLLIN;
        p++;
    }
    for (_PyPth_thread *t = direct_head; t != NULL; t = t->fds_next) {
        memcpy(p, t->fds, t->nfds * sizeof(*p));
        p += t->nfds;
    }
    int found = _PyPth_sys_ppoll(pollset, (nfds_t)(p - pollset), timeout, mask);
    // ENOMEM: ask again, as there is nobody to tell.
    interrupted = found < 0 && errno == EINTR;
    if (found > 0) {
        int registered = nregistered > 0;
        take_direct(pollset + registered);
        if (registered && pollset[0].revents) {
            (void)take_events(0, NULL);
        }
    }
    errno = err;
    return interrupted;
}

void
_PyPth_ForgetFds(void)
{
    direct_head = NULL;
    ndirect = 0;
    nregistered = 0;
    _PyPth_nfds_waiting = 0;
    memset(by_fd, 0, by_fd_size * sizeof(*by_fd));
    if (epfd >= 0) {
        // It is the parent's, too, and knows the parent's files.
        (void)syscall(SYS_close, epfd);
        epfd = -1;
    }
}


/* A descriptor that somebody waits for is closed.  The kernel would go on
   waiting for the file, but here it has to be asked again, and by then the
   number may be another file's: the wait ends with EBADF. */

void
_PyPth_ClosingFds(unsigned int first, unsigned int last)
{
    if (_PyPth_nthreads == 1 || _PyPth_in_pth || !_PyPth_IsKernelThread()
        || (_PyPth_nfds_waiting == 0 && epfd < 0)
        // The child of a vfork() closes its own.
        || getpid() != _PyPth_kernel_pid)
    {
        return;
    }
    if (epfd >= 0 && (unsigned int)epfd >= first && (unsigned int)epfd <= last) {
        lose_set();
    }
    for (unsigned int fd = first; fd <= last && fd < (unsigned int)by_fd_size;
         fd++)
    {
        if (by_fd[fd] != NULL) {
            fd_event((int)fd, POLLNVAL);
        }
    }
    _PyPth_thread *next;
    for (_PyPth_thread *t = direct_head; t != NULL; t = next) {
        next = t->fds_next;
        int closed = 0;
        for (nfds_t i = 0; i < t->nfds; i++) {
            unsigned int fd = (unsigned int)t->fds[i].fd;
            if (fd >= first && fd <= last && t->fds[i].fd >= 0) {
                t->fds[i].revents = POLLNVAL;
                closed = 1;
            }
        }
        if (closed) {
            _PyPth_WakeThread(t, _PyPth_WOKEN);
        }
    }
}
