/* What the patches of pth/patches change in GNU Pth, one function a behaviour.

   usage: behaviour NAME

   Exits 0 if it is so; else says what is not, and exits 1. */

#include <pth.h>

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what); \
            exit(1); \
        } \
    } while (0)

/* The C library's own. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void __libc_free(void *);

static pth_cond_t cond = PTH_COND_INIT;
static pth_mutex_t mutex = PTH_MUTEX_INIT;
static int order[16], norder;

static pth_t
spawn(void *(*func)(void *), void *arg)
{
    pth_attr_t attr = pth_attr_new();
    pth_attr_set(attr, PTH_ATTR_STACK_SIZE, 32 * 1024);
    pth_t t = pth_spawn(attr, func, arg);
    CHECK(t != NULL);
    pth_attr_destroy(attr);
    return t;
}

/* Let all others run until they wait. */
static void
settle(void)
{
    for (int i = 0; i < 20; i++) {
        pth_yield(NULL);
    }
}

/* ---- signal masks */

static int told;

static void *
block_one(void *arg)
{
    int sig = (int)(long)arg;
    sigset_t set, now;
    sigemptyset(&set);
    sigaddset(&set, sig);
    (told ? pth_sigmask : sigprocmask)(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 10; i++) {
        pth_yield(NULL);
        sigprocmask(SIG_BLOCK, NULL, &now);
        CHECK(sigismember(&now, sig));
        CHECK(sigismember(&now, SIGUSR1) == (sig == SIGUSR1));
    }
    return NULL;
}

static void
masks(void)
{
    pth_t a = spawn(block_one, (void *)SIGUSR1);
    pth_t b = spawn(block_one, (void *)SIGUSR2);
    sigset_t now;
    for (int i = 0; i < 10; i++) {
        pth_yield(NULL);
        sigprocmask(SIG_BLOCK, NULL, &now);
        CHECK(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
    }
    pth_join(a, NULL);
    pth_join(b, NULL);
}

static void
masks_by_pth_sigmask(void)
{
    told = 1;
    masks();
}

static volatile sig_atomic_t handled;

static void
handler(int sig)
{
    (void)sig;
    handled++;
}

/* One thread blocks the signal, the other does not: it comes in while both
   wait and the process sleeps. */
static void *
block_and_wait(void *arg)
{
    sigset_t set;
    sigfillset(&set);
    pth_sigmask(SIG_BLOCK, &set, NULL);
    pth_nap(pth_time(0, 400000));
    CHECK(handled == *(int *)arg);
    return NULL;
}

static void
signal_in_sleep(void)
{
    int wanted = 1;
    struct timespec start, end;
    signal(SIGALRM, handler);
    pth_t t = spawn(block_and_wait, &wanted);
    struct itimerval it = {{0, 0}, {0, 100000}};
    setitimer(ITIMER_REAL, &it, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    pth_nap(pth_time(0, 300000));
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK(handled == 1);
    CHECK((end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec
          - start.tv_nsec >= 300000000L);
    pth_join(t, NULL);
}

static void
sigwait_one(void)
{
    sigset_t set;
    int sig = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    pth_sigmask(SIG_BLOCK, &set, NULL);
    struct itimerval it = {{0, 0}, {0, 50000}};
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK(pth_sigwait(&set, &sig) == 0 && sig == SIGALRM);
}

/* ---- waits that a handler ends */

/* A handler runs in 50 ms. */
static void
interrupt_soon(void)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval it = {{0, 0}, {0, 50000}};
    handled = 0;
    errno = 0;
    sigaction(SIGALRM, &sa, NULL);
    setitimer(ITIMER_REAL, &it, NULL);
}

#define INTERRUPTED(call) \
    do { \
        interrupt_soon(); \
        CHECK((call) == -1 && errno == EINTR && handled == 1); \
    } while (0)

static void
handler_ends_sleep(void)
{
    struct timespec time = {100, 0}, left = {0, 0};
    INTERRUPTED(pth_nanosleep(&time, &left));
    CHECK(left.tv_sec == 99 && left.tv_nsec > 0);
    INTERRUPTED(pth_usleep(100 * 1000 * 1000));
    interrupt_soon();
    CHECK(pth_sleep(100) == 100 && handled == 1);
}

static void
handler_ends_select_and_poll(void)
{
    int fds[2];
    fd_set set;
    struct timeval tv = {100, 0};
    struct timespec ts = {100, 0};
    CHECK(pipe(fds) == 0);
    struct pollfd pfd = {fds[0], POLLIN, 0};
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    INTERRUPTED(pth_select(0, NULL, NULL, NULL, &tv));
    INTERRUPTED(pth_select(fds[0] + 1, &set, NULL, NULL, &tv));
    INTERRUPTED(pth_select(fds[0] + 1, &set, NULL, NULL, NULL));
    INTERRUPTED(pth_pselect(fds[0] + 1, &set, NULL, NULL, &ts, NULL));
    INTERRUPTED(pth_poll(&pfd, 1, 100000));
    INTERRUPTED(pth_poll(&pfd, 1, -1));
    /* And not the next one. */
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK(pth_poll(&pfd, 1, -1) == 1 && pth_usleep(10000) == 0);
}

static int ended;

static void *
sleep_on(void *arg)
{
    (void)arg;
    CHECK(pth_usleep(100 * 1000 * 1000) == -1 && errno == EINTR);
    ended++;
    return NULL;
}

static void
handler_ends_one_sleep(void)
{
    struct timespec time = {100, 0};
    spawn(sleep_on, NULL);
    spawn(sleep_on, NULL);
    /* The main thread's before that of others. */
    INTERRUPTED(pth_nanosleep(&time, NULL));
    settle();
    CHECK(ended == 0);
    interrupt_soon();
    pth_join(NULL, NULL);
    settle();
    CHECK(ended == 1);
    interrupt_soon();
    pth_join(NULL, NULL);
    CHECK(ended == 2);
}

static void *
write_late(void *arg)
{
    CHECK(pth_usleep(200000) == -1 && errno == EINTR);
    CHECK(pth_usleep(50000) == 0);
    CHECK(write((int)(long)arg, "x", 1) == 1);
    return NULL;
}

/* As with SA_RESTART. */
static void
handler_does_not_end_read(void)
{
    int fds[2];
    char c;
    CHECK(pipe(fds) == 0);
    pth_t t = spawn(write_late, (void *)(long)fds[1]);
    interrupt_soon();
    CHECK(pth_read(fds[0], &c, 1) == 1 && handled == 1);
    pth_join(t, NULL);
}

static void *
take_signal(void *arg)
{
    sigset_t set;
    int sig;
    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    interrupt_soon();
    CHECK(pth_sigwait(&set, &sig) == 0 && sig == SIGALRM);
    ended++;
    return NULL;
}

static void
signal_of_sigwait_ends_no_sleep(void)
{
    pth_t t = spawn(take_signal, NULL);
    CHECK(pth_usleep(100000) == 0 && ended == 1 && handled == 0);
    pth_join(t, NULL);
}

/* ---- the context of a thread */

static void *
own_context(void *arg)
{
    int mode = (long)arg ? FE_UPWARD : FE_TOWARDZERO;
    fesetround(mode);
    errno = (int)(long)arg + 1000;
    for (int i = 0; i < 10; i++) {
        pth_yield(NULL);
        CHECK(errno == (int)(long)arg + 1000);
        CHECK(fegetround() == mode);
    }
    return NULL;
}

static void
errno_and_rounding(void)
{
    pth_t a = spawn(own_context, (void *)0), b = spawn(own_context, (void *)1);
    pth_join(a, NULL);
    pth_join(b, NULL);
    CHECK(fegetround() == FE_TONEAREST);
}

/* ---- user-space contexts */

static pth_uctx_t master, worker;

static void
work(void *arg)
{
    (void)arg;
    for (;;) {
        pth_uctx_switch(worker, master);
    }
}

/* Where pth_uctx_make() had its frame there is now this function's: nobody else
   is to write to it. */
static __attribute__((noinline)) void
switch_with_large_frame(void)
{
    volatile unsigned char mine[32768];
    for (size_t i = 0; i < sizeof(mine); i++) {
        mine[i] = (unsigned char)(i * 7 + i / 256);
    }
    CHECK(pth_uctx_switch(master, worker));
    for (size_t i = 0; i < sizeof(mine); i++) {
        CHECK(mine[i] == (unsigned char)(i * 7 + i / 256));
    }
}

static void
user_context_writes_to_no_dead_frame(void)
{
    CHECK(pth_uctx_create(&master) && pth_uctx_create(&worker));
    CHECK(pth_uctx_make(worker, NULL, 65536, NULL, work, NULL, NULL));
    switch_with_large_frame();
    CHECK(pth_uctx_destroy(worker) && pth_uctx_destroy(master));
}

/* ---- order */

static void *
take_mutex(void *arg)
{
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    order[norder++] = (int)(long)arg;
    CHECK(pth_mutex_release(&mutex));
    return NULL;
}

static void *
take_cond(void *arg)
{
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    CHECK(pth_cond_await(&cond, &mutex, NULL));
    order[norder++] = (int)(long)arg;
    CHECK(pth_mutex_release(&mutex));
    return NULL;
}

static void
mutex_in_order(void)
{
    pth_t t[8];
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    for (long i = 0; i < 8; i++) {
        t[i] = spawn(take_mutex, (void *)i);
        settle();
    }
    CHECK(pth_mutex_release(&mutex));
    for (int i = 0; i < 8; i++) {
        pth_join(t[i], NULL);
        CHECK(order[i] == i);
    }
}

static void
cond_in_order(void)
{
    pth_t t[8];
    for (long i = 0; i < 8; i++) {
        t[i] = spawn(take_cond, (void *)i);
        settle();
    }
    for (int i = 0; i < 3; i++) {
        CHECK(pth_cond_notify(&cond, FALSE));
        settle();
        CHECK(norder == i + 1 && order[i] == i);
    }
    CHECK(pth_cond_notify(&cond, TRUE));
    for (int i = 0; i < 8; i++) {
        pth_join(t[i], NULL);
        CHECK(order[i] == i);
    }
}

/* A waiter that is cancelled when it has just been woken takes the mutex from
   nobody. */
static void
cancelled_waiter(void)
{
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    pth_t a = spawn(take_mutex, (void *)0);
    settle();
    pth_t b = spawn(take_mutex, (void *)1);
    settle();
    CHECK(pth_mutex_release(&mutex));
    CHECK(pth_cancel(a));
    pth_join(a, NULL);
    pth_join(b, NULL);
    CHECK(norder == 1 && order[0] == 1);
}

/* ---- suspend and resume */

static void
suspended_waiter(void)
{
    pth_t t = spawn(take_cond, (void *)7);
    settle();
    CHECK(pth_suspend(t));
    CHECK(pth_cond_notify(&cond, FALSE));
    settle();
    CHECK(norder == 0);
    CHECK(pth_resume(t));
    settle();
    CHECK(norder == 1);
    pth_join(t, NULL);
    t = spawn(take_cond, (void *)8);
    settle();
    CHECK(pth_suspend(t));
    CHECK(pth_resume(t));
    settle();
    CHECK(norder == 1);
    CHECK(pth_cond_notify(&cond, FALSE));
    pth_join(t, NULL);
    CHECK(norder == 2);
}

/* A suspended thread that was woken for the mutex does not keep others from
   it. */
static void
suspended_with_mutex(void)
{
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    pth_t a = spawn(take_mutex, (void *)0);
    settle();
    pth_t b = spawn(take_mutex, (void *)1);
    settle();
    CHECK(pth_suspend(a));
    CHECK(pth_mutex_release(&mutex));
    pth_join(b, NULL);
    CHECK(pth_resume(a));
    pth_join(a, NULL);
    CHECK(order[0] == 1 && order[1] == 0);
}

/* ---- many */

static long nrun;

static void *
wait_once(void *arg)
{
    (void)arg;
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    CHECK(pth_cond_await(&cond, &mutex, NULL));
    nrun++;
    CHECK(pth_mutex_release(&mutex));
    return NULL;
}

static void
ten_thousand_blocked(void)
{
    static pth_t t[10000];
    for (int i = 0; i < 10000; i++) {
        t[i] = spawn(wait_once, NULL);
    }
    settle();
    for (int i = 0; i < 100; i++) {
        CHECK(pth_cond_notify(&cond, FALSE));
    }
    settle();
    CHECK(nrun == 100);
    CHECK(pth_cond_notify(&cond, TRUE));
    for (int i = 0; i < 10000; i++) {
        CHECK(pth_join(t[i], NULL));
    }
    CHECK(nrun == 10000);
}

static void *
nap(void *arg)
{
    long ms = (long)arg;
    struct timespec now, start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK(pth_nap(pth_time(0, ms * 1000)));
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK((now.tv_sec - start.tv_sec) * 1000L
          + (now.tv_nsec - start.tv_nsec) / 1000000L >= ms - 1);
    nrun++;
    return NULL;
}

static void
many_sleepers(void)
{
    static pth_t t[3000];
    for (long i = 0; i < 3000; i++) {
        t[i] = spawn(nap, (void *)(1 + i * 7919 % 400));
    }
    for (int i = 0; i < 3000; i++) {
        CHECK(pth_join(t[i], NULL));
    }
    CHECK(nrun == 3000);
}

/* ---- descriptors */

static int fds[2];

static void *
write_one(void *arg)
{
    (void)arg;
    pth_nap(pth_time(0, 20000));
    CHECK(pth_write(fds[1], "x", 1) == 1);
    return NULL;
}

static void
high_descriptor(void)
{
    struct rlimit limit;
    char c;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 2001);
    CHECK(pipe(fds) == 0 && dup2(fds[0], 2000) == 2000
          && dup2(fds[1], 2001) == 2001);
    fds[0] = 2000;
    fds[1] = 2001;
    pth_t t = spawn(write_one, NULL);
    CHECK(pth_read(fds[0], &c, 1) == 1 && c == 'x');
    pth_join(t, NULL);
    t = spawn(write_one, NULL);
    struct pollfd p = {fds[0], POLLIN, 0};
    CHECK(pth_poll(&p, 1, 5000) == 1 && p.revents == POLLIN);
    pth_join(t, NULL);
    CHECK(pth_read(fds[0], &c, 1) == 1);
    CHECK(pth_poll(&p, 1, 10) == 0);
}

static void
select_two(void)
{
    fd_set r;
    struct timeval tv = {5, 0};
    CHECK(pipe(fds) == 0);
    pth_t t = spawn(write_one, NULL);
    FD_ZERO(&r);
    FD_SET(fds[0], &r);
    CHECK(pth_select(fds[0] + 1, &r, NULL, NULL, &tv) == 1);
    CHECK(FD_ISSET(fds[0], &r));
    pth_join(t, NULL);
}

static void *
read_one(void *arg)
{
    char c;
    long n = pth_read(*(int *)arg, &c, 1);
    return (void *)n;
}

static void *
wait_readable(void *arg)
{
    pth_event_t ev = pth_event(PTH_EVENT_FD | PTH_UNTIL_FD_READABLE,
                               *(int *)arg);
    CHECK(pth_wait(ev) == 1 && pth_event_status(ev) == PTH_STATUS_OCCURRED);
    nrun++;
    return NULL;
}

/* All threads that wait for the same descriptor are told. */
static void
one_descriptor_many_waiters(void)
{
    pth_t t[10];
    CHECK(pipe(fds) == 0);
    for (int i = 0; i < 10; i++) {
        t[i] = spawn(wait_readable, &fds[0]);
    }
    settle();
    CHECK(nrun == 0 && write(fds[1], "x", 1) == 1);
    for (int i = 0; i < 10; i++) {
        CHECK(pth_join(t[i], NULL));
    }
    CHECK(nrun == 10);
}

/* As with select(2): the wait ends, and fails. */
static void
closed_descriptor(void)
{
    void *n;
    CHECK(pipe(fds) == 0);
    pth_t t = spawn(read_one, &fds[0]);
    settle();
    close(fds[0]);
    for (int i = 0; i < 200 && t != NULL; i++) {
        pth_nap(pth_time(0, 10000));
    }
    CHECK(pth_join(t, &n) && n == (void *)-1);
}

/* A regular file is always ready, though epoll(7) does not take it. */
static void
regular_file(void)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    pth_event_t ev = pth_event(PTH_EVENT_FD | PTH_UNTIL_FD_READABLE, fd);
    CHECK(pth_wait(ev) == 1 && pth_event_status(ev) == PTH_STATUS_OCCURRED);
}

/* Open before Pth was there. */
static int inherited[64];

/* Programs that are executed inherit no descriptor of Pth. */
static void
close_on_exec(void)
{
    struct timeval tv = {0, 50000};
    fd_set r;
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    FD_ZERO(&r);
    FD_SET(fds[0], &r);
    CHECK(pth_select(fds[0] + 1, &r, NULL, NULL, &tv) == 0);
    for (int fd = 3; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFD);
        CHECK(inherited[fd] || flags == -1 || (flags & FD_CLOEXEC));
    }
}

static int turn;
static pth_cond_t other = PTH_COND_INIT;

static void *
answer(void *arg)
{
    (void)arg;
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    for (;;) {
        while (turn != 1) {
            pth_cond_await(&other, &mutex, NULL);
        }
        turn = 0;
        pth_cond_notify(&cond, FALSE);
    }
    return NULL;
}

/* For strace: 10,000 round trips. */
static void
pingpong(void)
{
    pth_sigmask(SIG_BLOCK, NULL, NULL);
    spawn(answer, NULL);
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    for (int i = 0; i < 10000; i++) {
        turn = 1;
        pth_cond_notify(&other, FALSE);
        while (turn != 0) {
            pth_cond_await(&cond, &mutex, NULL);
        }
    }
    exit(0);
}

/* ---- memory */

static pth_key_t keys[PTH_KEY_MAX];
static int nkeys, destroyed[PTH_KEY_MAX];

static void
destroy(void *value)
{
    destroyed[(int *)value - destroyed]++;
}

static void *
use_keys(void *arg)
{
    /* The last one first, so that room is made for all at once or bit by bit. */
    int from_end = arg != NULL;
    for (int i = 0; i < nkeys; i++) {
        int k = from_end ? nkeys - 1 - i : i;
        CHECK(pth_key_getdata(keys[k]) == NULL);
        CHECK(pth_key_setdata(keys[k], &destroyed[k]));
        CHECK(pth_key_getdata(keys[k]) == &destroyed[k]);
    }
    settle();
    for (int k = 0; k < nkeys; k++) {
        CHECK(pth_key_getdata(keys[k]) == &destroyed[k]);
    }
    CHECK(pth_key_setdata(keys[0], NULL));
    return NULL;
}

static void
values_of_all_keys(void)
{
    while (nkeys < PTH_KEY_MAX && pth_key_create(&keys[nkeys], destroy)) {
        nkeys++;
    }
    CHECK(nkeys > PTH_KEY_MAX / 2);
    pth_t a = spawn(use_keys, NULL), b = spawn(use_keys, &nkeys);
    CHECK(pth_join(a, NULL) && pth_join(b, NULL));
    CHECK(destroyed[0] == 0);
    for (int k = 1; k < nkeys; k++) {
        CHECK(destroyed[k] == 2);
    }
}

/* In bytes. */
static size_t
address_space(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Of a thread that waits for a condition, on a stack of the program's own: no
   more than the record of a thread, a few words for values, and one event.
   With swapcontext(3) its record has a ucontext_t. */
#ifndef WAITING_THREAD
#define WAITING_THREAD 1024
#endif
static void
memory_of_a_waiting_thread(void)
{
    enum { N = 1000, STACK = 32 * 1024 };
    char *stacks = malloc(N * STACK);
    CHECK(stacks != NULL);
    size_t before = 0;
    for (int i = 0; i <= N; i++) {
        if (i == 1) {
            settle();
            before = address_space();
        }
        pth_attr_t attr = pth_attr_new();
        pth_attr_set(attr, PTH_ATTR_STACK_SIZE, STACK);
        if (i > 0) {
            pth_attr_set(attr, PTH_ATTR_STACK_ADDR, stacks + (i - 1) * STACK);
        }
        CHECK(pth_spawn(attr, take_cond, NULL) != NULL);
        pth_attr_destroy(attr);
    }
    settle();
    CHECK((address_space() - before) / N <= WAITING_THREAD);
    exit(0);
}

static int mallocs;

void *
malloc(size_t size)
{
    mallocs++;
    return __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
    mallocs++;
    return __libc_calloc(n, size);
}

void
free(void *p)
{
    mallocs++;
    __libc_free(p);
}

static void *
take_own_cond(void *arg)
{
    CHECK(pth_mutex_acquire(&mutex, FALSE, NULL));
    CHECK(pth_cond_await(arg, &mutex, NULL));
    CHECK(pth_mutex_release(&mutex));
    return NULL;
}

/* Of threads on stacks of the program's own, which wait and end. */
static void
no_malloc_in_a_spawn(void)
{
    enum { N = 1000, STACK = 32 * 1024 };
    static pth_cond_t conds[N];
    char *stacks = malloc(N * STACK);
    pth_attr_t attr = pth_attr_new();
    CHECK(stacks != NULL && attr != NULL);
    pth_attr_set(attr, PTH_ATTR_STACK_SIZE, STACK);
    pth_attr_set(attr, PTH_ATTR_JOINABLE, FALSE);
    int before = mallocs;
    CHECK(before > 0);
    for (int i = 0; i < N; i++) {
        pth_cond_init(&conds[i]);
        pth_attr_set(attr, PTH_ATTR_STACK_ADDR, stacks + i * STACK);
        CHECK(pth_spawn(attr, take_own_cond, &conds[i]) != NULL);
    }
    settle();
    CHECK(pth_ctrl(PTH_CTRL_GETTHREADS_WAITING) == N);
    for (int i = 0; i < N; i++) {
        CHECK(pth_cond_notify(&conds[i], FALSE));
    }
    settle();
    CHECK(pth_ctrl(PTH_CTRL_GETTHREADS) == 1);
    CHECK(mallocs == before);
}

static const struct {
    const char *name;
    void (*func)(void);
} tests[] = {
#define TEST(name) {#name, name},
    TEST(masks)
    TEST(masks_by_pth_sigmask)
    TEST(signal_in_sleep)
    TEST(sigwait_one)
    TEST(handler_ends_sleep)
    TEST(handler_ends_select_and_poll)
    TEST(handler_ends_one_sleep)
    TEST(handler_does_not_end_read)
    TEST(signal_of_sigwait_ends_no_sleep)
    TEST(errno_and_rounding)
    TEST(user_context_writes_to_no_dead_frame)
    TEST(mutex_in_order)
    TEST(cond_in_order)
    TEST(cancelled_waiter)
    TEST(suspended_waiter)
    TEST(suspended_with_mutex)
    TEST(ten_thousand_blocked)
    TEST(many_sleepers)
    TEST(high_descriptor)
    TEST(select_two)
    TEST(one_descriptor_many_waiters)
    TEST(closed_descriptor)
    TEST(regular_file)
    TEST(close_on_exec)
    TEST(pingpong)
    TEST(values_of_all_keys)
    TEST(memory_of_a_waiting_thread)
    TEST(no_malloc_in_a_spawn)
};

int
main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        if (argc == 1) {
            puts(tests[i].name);
        }
        else if (strcmp(argv[1], tests[i].name) == 0) {
            for (int fd = 0; fd < 64; fd++) {
                inherited[fd] = fcntl(fd, F_GETFD) != -1;
            }
            CHECK(pth_init());
            tests[i].func();
            return 0;
        }
    }
    return argc == 1 ? 0 : 2;
}
