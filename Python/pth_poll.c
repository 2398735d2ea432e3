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
// wait renews it, and an event is a hint: whoever is woken asks again.  That
// of a TCP connection that is read stays, see below.  Before a descriptor is
// closed its registration is removed, and so is one that has an event for
// nobody.  If that cannot be done, because the number has become another
// file's in a way that nobody here has seen, the set is made anew.

#include "pth_internal.h"

#include <fcntl.h>                // F_DUPFD_CLOEXEC
#include <sys/epoll.h>
#include <sys/syscall.h>          // SYS_epoll_pwait, ...
#include <unistd.h>               // syscall()

// Up to so many descriptors are asked for in ppoll().  Registering a
// descriptor anew costs one system call a wait, about as much as ten more in a
// ppoll().
#define FEW _PyPth_FEW_FDS

typedef _PyPth_fdwait fdwait;

nfds_t _PyPth_nfds_waiting = 0;

static _PyPth_thread *direct_head;        // threads that wait by ppoll()
static nfds_t ndirect = 0;                // their descriptors
static struct pollfd pollset[FEW + 1];
static unsigned int direct_changes = 0;   // of the list of direct waiters

static int epfd = -1;
static int has_pwait2 = 0;                // Linux 5.11
static nfds_t nregistered = 0;            // waits for it
static uint32_t registrations = 0;        // that were ever made

// What is known of a descriptor.
typedef struct {
    fdwait *waits, *last;         // those for it, oldest first
    uint32_t serial;              // of its registration, which its events carry
    char registered;
    char edges;                   // by register_edges()
    char drained;                 // read empty, nothing has come in since
} fdrecord;
static fdrecord *by_fd;
static int by_fd_size = 0;

// Threads that wait for edges without having asked the kernel for anything,
// newest first.
static _PyPth_thread *unchecked_head;

// A thread is in one of the two lists at most.
static void
push(_PyPth_thread **head, _PyPth_thread *thread)
{
    thread->fds_prev = NULL;
    thread->fds_next = *head;
    if (*head != NULL) {
        (*head)->fds_prev = thread;
    }
    *head = thread;
}

static void
take_out(_PyPth_thread **head, _PyPth_thread *thread)
{
    if (thread->fds_prev != NULL) {
        thread->fds_prev->fds_next = thread->fds_next;
    }
    else {
        *head = thread->fds_next;
    }
    if (thread->fds_next != NULL) {
        thread->fds_next->fds_prev = thread->fds_prev;
    }
}


/* The epoll set */

// Of these the bits of poll() and epoll are the same (kernel,
// include/uapi/linux/eventpoll.h).
#define ALWAYS (POLLERR | POLLHUP | POLLNVAL)

// Register `fd` for `events`.  Return 0, or -1 and errno.
static int
set_events(int fd, uint32_t events)
{
    fdrecord *r = &by_fd[fd];
    struct epoll_event ev;
    ev.events = events;
    ev.data.u64 = (uint64_t)r->serial << 32 | (uint32_t)fd;
    if (r->registered) {
        if (epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev) == 0) {
            return 0;
        }
        // ENOENT: it has become another file's.
        r->registered = 0;
        if (errno != ENOENT) {
            return -1;
        }
    }
    r->serial = ++registrations;
    ev.data.u64 = (uint64_t)r->serial << 32 | (uint32_t)fd;
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) != 0
        // The same file as once before.
        && (errno != EEXIST || epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev) != 0))
    {
        return -1;
    }
    r->registered = 1;
    return 0;
}

// No event of `fd` shall come any more.  Return 0, or -1 if that is not known.
static int
unregister(int fd)
{
    fdrecord *r = &by_fd[fd];
    int registered = r->registered;
    r->registered = r->edges = r->drained = 0;
    if (!registered) {
        return 0;
    }
    struct epoll_event unused;
    return epoll_ctl(epfd, EPOLL_CTL_DEL, fd, &unused);
}

// Register `fd` for what its waiters wait for.  Return 0, or -1 and errno.
static int
arm(int fd)
{
    uint32_t events = EPOLLONESHOT;
    by_fd[fd].edges = 0;
    for (fdwait *w = by_fd[fd].waits; w != NULL; w = w->next) {
        events |= (unsigned short)w->p->events & ~ALWAYS;
    }
    return set_events(fd, events);
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
            by_fd[w->p->fd].waits = w->next;
        }
        if (w->next != NULL) {
            w->next->prev = w->prev;
        }
        else {
            by_fd[w->p->fd].last = w->prev;
        }
        nregistered--;
    }
}

static int
by_fd_reserve(int fd)
{
    if (fd < by_fd_size) {
        return 0;
    }
    // The old one stays: others may look something up in it just now.
    int size = Py_MAX(2 * by_fd_size, fd + 64);
    fdrecord *table = _PyPth_Map(size * sizeof(*table));
    if (table == NULL) {
        return -1;
    }
    if (by_fd_size > 0) {
        memcpy(table, by_fd, by_fd_size * sizeof(*table));
    }
    by_fd = table;
    by_fd_size = size;
    return 0;
}

static void
link_wait(fdwait *w)
{
    fdrecord *r = &by_fd[w->p->fd];
    w->next = NULL;
    w->prev = r->last;
    if (w->prev != NULL) {
        w->prev->next = w;
    }
    else {
        r->waits = w;
    }
    r->last = w;
    nregistered++;
}

// Wait as epoll_pwait2() does.  The C library's functions may copy the timeout
// before they enter the kernel.
static int
sys_epoll_pwait2(struct epoll_event *events, int maxevents,
                 volatile struct timespec *timeout, const sigset_t *mask)
{
#ifdef SYS_epoll_pwait2
    return (int)_PyPth_Sys(SYS_epoll_pwait2, epfd, events, maxevents, timeout,
                           mask, (size_t)(_NSIG / 8));
#else
    errno = ENOSYS;
    return -1;
#endif
}

// From this number on: programs count on the lowest one that is free, and on two that
// follow each other (test_os, test_closerange()).
#define OWN_FDS 200

int
_PyPth_MoveFd(int fd)
{
    int err = errno;
    int high = (int)_PyPth_Sys(SYS_fcntl, fd, F_DUPFD_CLOEXEC, OWN_FDS);
    if (high >= 0) {
        (void)_PyPth_Sys(SYS_close, fd);
    }
    errno = err;
    return high >= 0 ? high : fd;
}

static int
need_set(void)
{
    if (epfd < 0) {
        epfd = _PyPth_MoveFd(epoll_create1(EPOLL_CLOEXEC));
        struct epoll_event event;
        struct timespec zero = {0, 0};
        has_pwait2 = (epfd >= 0
                      && sys_epoll_pwait2(&event, 1, &zero, NULL) == 0);
    }
    return epfd < 0 ? -1 : 0;
}

// Return 0 when all descriptors of the thread are registered, -1 when they
// cannot be.
static int
insert_registered(_PyPth_thread *thread)
{
    if (need_set() < 0) {
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
        link_wait(w);
        // EPERM: a file that has no events.
        if (arm(p->fd) < 0) {
            unlink_waits(thread, i + 1);
            return -1;
        }
    }
    thread->registered = 1;
    return 0;
}

/* Streams that are read.  A thread that serves a connection reads what is
   there, and waits for more, again and again.  In the plain way that costs
   four system calls a wait: the read that finds nothing, the questions whether
   it shall block and how long (O_NONBLOCK, SO_RCVTIMEO), and the registration.
   Here it mostly costs none of them.  The registration stays, and tells of
   what comes in from then on (EPOLLET).  When the last read has taken all
   there was, and nothing was told since, there is nothing to be read; and a
   descriptor that was found to block for ever is taken to do so still.

   All of that may be wrong: the program, or another process, may have changed
   the description, or closed it in a way that nobody here sees.  So each such
   wait is checked, in the plain way, when a time slice ends or when nobody
   could run for a millisecond.  Until then being wrong is only being late. */

#ifdef HAVE_PTH_SYSCALLS

// Return 0, or -1 and errno.
static int
register_edges(int fd)
{
    int result = set_events(fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    by_fd[fd].edges = (result == 0);
    return result;
}

// Insert the wait of a thread for one descriptor.  Return 0, or -1 if that has
// to be done otherwise.
static int
insert_edges(_PyPth_thread *thread)
{
    int fd = thread->fds[0].fd;
    if (need_set() < 0 || by_fd_reserve(fd) < 0 || by_fd[fd].waits != NULL) {
        return -1;
    }
    int known = by_fd[fd].edges;
    if (!known && register_edges(fd) < 0) {
        return -1;
    }
    fdwait *w = thread->fdwaits;
    w->thread = thread;
    w->p = &thread->fds[0];
    link_wait(w);
    thread->registered = 1;
    thread->confirmed = !known;
    if (known) {
        thread->unchecked = 1;
        push(&unchecked_head, thread);
    }
    return 0;
}

static void
remove_unchecked(_PyPth_thread *thread)
{
    if (thread->unchecked) {
        thread->unchecked = 0;
        take_out(&unchecked_head, thread);
    }
}

int
_PyPth_Unchecked(void)
{
    return unchecked_head != NULL;
}

static void
check_wait(_PyPth_thread *thread)
{
    int fd = thread->fds[0].fd;
    remove_unchecked(thread);
    // What has come in makes an event when it is registered anew.
    if (by_fd[fd].edges && _PyPth_BlocksForEver(fd)
        && register_edges(fd) == 0)
    {
        thread->confirmed = 1;
        return;
    }
    // Let it see for itself.
    by_fd[fd].edges = 0;
    by_fd[fd].drained = 0;
    _PyPth_WakeThread(thread, _PyPth_WOKEN);
}

void
_PyPth_CheckWaits(void)
{
    int err = errno;
    while (unchecked_head != NULL) {
        check_wait(unchecked_head);
    }
    errno = err;
}

void
_PyPth_ForgetEdges(int fd)
{
    if (!_PyPth_HasEdges(fd) || _PyPth_inside || _PyPth_vforked) {
        return;
    }
    int err = errno;
    _PyPth_Lock();
    // Who waits already does so as it was.
    for (fdwait *w = by_fd[fd].waits; w != NULL; w = w->next) {
        if (w->thread->unchecked) {
            check_wait(w->thread);
            break;
        }
    }
    by_fd[fd].edges = 0;
    _PyPth_Unlock();
    errno = err;
}

int
_PyPth_HasEdges(int fd)
{
    return fd >= 0 && fd < by_fd_size && by_fd[fd].edges;
}

int
_PyPth_IsDrained(int fd)
{
    return _PyPth_HasEdges(fd) && by_fd[fd].drained;
}

void
_PyPth_Drained(int fd)
{
    if (_PyPth_HasEdges(fd)) {
        by_fd[fd].drained = 1;
    }
}

#else
#  define insert_edges(thread) (-1)
#  define remove_unchecked(thread) ((void)0)
#endif


// Is there nothing for the thread, because another one that was woken before
// will take it?  `*taken`: the events that were for those before.  Who is told
// of an error, or of the end, leaves it there.
static inline int
is_taken(_PyPth_thread *thread, short revents, short *taken)
{
    if (!(thread->flags & _PyPth_ONE_TAKES) || (revents & ALWAYS)) {
        return 0;
    }
    if ((revents & ~*taken) == 0) {
        return 1;
    }
    *taken |= revents;
    return 0;
}

// Wake all who wait for `fd`, each to see for itself if `revents` is 0.
static void
wake_waiters(int fd, short revents)
{
    while (by_fd[fd].waits != NULL) {
        fdwait *w = by_fd[fd].waits;
        w->p->revents = revents;
        _PyPth_WakeThread(w->thread, _PyPth_WOKEN);
    }
}

// The epoll set is gone, or about to be: whoever waits for it is woken, finds
// nothing, and comes back.
static void
lose_set(void)
{
    epfd = -1;
    for (int fd = 0; fd < by_fd_size; fd++) {
        by_fd[fd].registered = by_fd[fd].edges = by_fd[fd].drained = 0;
        wake_waiters(fd, 0);
    }
}

// There is an event for `fd`: wake whose it is.  If more has come in than they
// take, the next look finds the rest.  Return -1 if it is that of a
// registration that has outlived its descriptor.
static int
fd_event(int fd, uint32_t serial, unsigned int events)
{
    if (fd >= by_fd_size || !by_fd[fd].registered
        || by_fd[fd].serial != serial)
    {
        return -1;
    }
    fdrecord *r = &by_fd[fd];
    if (r->waits == NULL) {
        return unregister(fd);
    }
    r->drained = 0;
    if (events & (POLLERR | POLLHUP | POLLNVAL | EPOLLRDHUP)) {
        // The end of a stream comes in once, and is there to be read for ever.
        r->edges = 0;
    }
    short taken = 0;
    fdwait *w = r->waits;
    while (w != NULL) {
        short revents = (short)(events
                                & ((unsigned short)w->p->events | ALWAYS));
        if (revents && !is_taken(w->thread, revents, &taken)) {
            w->p->revents = revents;
            _PyPth_WakeThread(w->thread, _PyPth_WOKEN);
            // All waits of that thread have left the list.
            w = r->waits;
        }
        else {
            w = w->next;
        }
    }
    if (r->waits != NULL && arm(fd) < 0) {
        // They shall find out themselves what is wrong.
        wake_waiters(fd, 0);
    }
    return 0;
}

// Wait as _PyPth_PollFds() does for what is registered, and wake whose
// descriptors are ready.
static void
take_events(volatile struct timespec *timeout, const sigset_t *mask)
{
    struct epoll_event events[64];
    int found;
    do {
        if (timeout != NULL) {
            _PyPth_BeginIdle();
            found = sys_epoll_pwait2(events, Py_ARRAY_LENGTH(events), timeout,
                                     mask);
            int err = errno;
            _PyPth_FinishIdle();
            errno = err;
        }
        else {
            // Not the mapped epoll_wait().
            found = (int)_PyPth_Sys(SYS_epoll_pwait, epfd, events,
                                    Py_ARRAY_LENGTH(events), 0, NULL,
                                    (size_t)(_NSIG / 8));
        }
        for (int i = 0; i < found; i++) {
            uint64_t data = events[i].data.u64;
            if (fd_event((int)(uint32_t)data, (uint32_t)(data >> 32),
                         events[i].events) < 0)
            {
                (void)_PyPth_Sys(SYS_close, epfd);
                lose_set();
                return;
            }
        }
        timeout = NULL;
    } while (found == Py_ARRAY_LENGTH(events));
    if (found < 0 && errno != EINTR) {
        // Closed behind our back.
        lose_set();
    }
}


/* ppoll() */

static int
sys_ppoll(struct pollfd *fds, nfds_t nfds, volatile struct timespec *timeout,
          const sigset_t *mask)
{
    return (int)_PyPth_Sys(SYS_ppoll, fds, nfds, timeout, mask,
                           (size_t)(_NSIG / 8));
}

static void
insert_direct(_PyPth_thread *thread)
{
    ndirect += thread->nfds;
    direct_changes++;
    push(&direct_head, thread);
}

static void
remove_direct(_PyPth_thread *thread)
{
    take_out(&direct_head, thread);
    direct_changes++;
    ndirect -= thread->nfds;
}

// Move them to the epoll set, which would otherwise be asked with a call of
// its own after each ppoll().
static void
register_direct(void)
{
    _PyPth_thread *next;
    for (_PyPth_thread *t = direct_head; t != NULL; t = next) {
        next = t->fds_next;
        remove_direct(t);
        if (insert_registered(t) < 0) {
            // There is room: it was there before.
            insert_direct(t);
            return;
        }
    }
}

// What ppoll() has found for the direct waiters: `p` is behind that of the
// last, who has waited longest.
static void
take_direct(const struct pollfd *p)
{
    _PyPth_thread *t = direct_head;
    while (t != NULL && t->fds_next != NULL) {
        t = t->fds_next;
    }
    // What those before will take; of no more descriptors, it is but a saving.
    struct pollfd taken[FEW];
    int ntaken = 0;
    _PyPth_thread *prev;
    for (; t != NULL; t = prev) {
        prev = t->fds_prev;
        nfds_t nfds = t->nfds;
        short ready = 0;
        p -= nfds;
        for (nfds_t i = 0; i < nfds; i++) {
            t->fds[i].revents = p[i].revents;
            ready |= p[i].revents;
        }
        if (!ready) {
            continue;
        }
        if (t->flags & _PyPth_ONE_TAKES) {
            int i = 0;
            while (i < ntaken && taken[i].fd != p->fd) {
                i++;
            }
            if (i == ntaken && ntaken < FEW) {
                taken[ntaken].fd = p->fd;
                taken[ntaken++].revents = 0;
            }
            if (i < ntaken && is_taken(t, ready, &taken[i].revents)) {
                continue;
            }
        }
        _PyPth_WakeThread(t, _PyPth_WOKEN);
    }
}


/* For pth_wait.c */

int
_PyPth_InsertFds(_PyPth_thread *thread, struct pollfd *fds, nfds_t nfds,
                 int flags, _PyPth_fdwait room[_PyPth_FEW_FDS])
{
    thread->fds = fds;
    thread->nfds = nfds;
    thread->fdwaits = room;
    thread->registered = 0;
    for (nfds_t i = 0; i < nfds; i++) {
        fds[i].revents = 0;
    }
    int err = errno;
    thread->confirmed = 1;
    if ((flags & _PyPth_EDGES) == 0 || insert_edges(thread) < 0) {
        if (nregistered == 0 && ndirect + nfds <= FEW) {
            insert_direct(thread);
        }
        else if (nfds > FEW || insert_registered(thread) < 0) {
            thread->fds = NULL;
            errno = err;
            return -1;
        }
    }
    errno = err;
    _PyPth_nfds_waiting += nfds;
    // It may have to look after them from now on.
    _PyPth_TellMonitor();
    return 0;
}

void
_PyPth_RemoveFds(_PyPth_thread *thread)
{
    if (thread->fds == NULL) {
        return;
    }
    if (thread->registered) {
        // The registrations stay.  Each may come up with an event for nobody.
        remove_unchecked(thread);
        unlink_waits(thread, thread->nfds);
    }
    else {
        remove_direct(thread);
    }
    _PyPth_nfds_waiting -= thread->nfds;
    thread->fds = NULL;
}

// All that are waited for, into `p`.  Return the end.
static struct pollfd *
copy_fds(struct pollfd *p)
{
    if (nregistered > 0) {
        p->fd = epfd;
        p->events = POLLIN;
        p++;
    }
    for (_PyPth_thread *t = direct_head; t != NULL; t = t->fds_next) {
        memcpy(p, t->fds, t->nfds * sizeof(*p));
        p += t->nfds;
    }
    return p;
}

nfds_t
_PyPth_CopyFds(struct pollfd fds[FEW + 1])
{
    return (nfds_t)(copy_fds(fds) - fds);
}

void
_PyPth_PollFds(volatile struct timespec *timeout, const sigset_t *mask)
{
    int err = errno;
    if (direct_head == NULL && nregistered > 0
        && (timeout == NULL || has_pwait2))
    {
        take_events(timeout, mask);
        errno = err;
        return;
    }
    struct timespec zero = {0, 0};
    struct pollfd *p = copy_fds(pollset);
    unsigned int before = direct_changes;
    if (timeout != NULL) {
        _PyPth_BeginIdle();
    }
    int found = sys_ppoll(pollset, (nfds_t)(p - pollset),
                          timeout != NULL ? timeout : &zero, mask);
    if (timeout != NULL) {
        _PyPth_FinishIdle();
    }
    // EINTR, ENOMEM: ask again, as there is nobody to tell.
    if (found > 0 && direct_changes != before) {
        // Others have come or gone meanwhile: ask for those that wait now.
        _PyPth_PollFds(NULL, NULL);
    }
    else if (found > 0) {
        int registered = nregistered > 0;
        take_direct(p);
        if (registered && pollset[0].revents) {
            take_events(NULL, NULL);
            if (has_pwait2) {
                register_direct();
            }
        }
    }
    errno = err;
}

void
_PyPth_ForgetFds(void)
{
    direct_head = NULL;
    unchecked_head = NULL;
    ndirect = 0;
    nregistered = 0;
    _PyPth_nfds_waiting = 0;
    _PyPth_Clear(by_fd, by_fd_size * sizeof(*by_fd));
    if (epfd >= 0) {
        // It is the parent's, too, and knows the parent's files.
        (void)_PyPth_Sys(SYS_close, epfd);
        epfd = -1;
    }
}


/* A descriptor that somebody waits for is closed.  The kernel would go on
   waiting for the file, but here it has to be asked again, and by then the
   number may be another file's: the wait ends with EBADF. */

void
_PyPth_ClosingFds(unsigned int first, unsigned int last)
{
    if (_PyPth_inside || _PyPth_vforked
        || (_PyPth_nfds_waiting == 0 && epfd < 0))
    {
        return;
    }
    int err = errno;
    _PyPth_Lock();
    if (epfd >= 0 && (unsigned int)epfd >= first
        && (unsigned int)epfd <= last)
    {
        lose_set();
    }
    for (unsigned int fd = first; fd <= last && fd < (unsigned int)by_fd_size;
         fd++)
    {
        (void)unregister((int)fd);
        wake_waiters((int)fd, POLLNVAL);
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
    _PyPth_Unlock();
    errno = err;
}
