// What the machine, or its emulator, can do of what threads need.
//
// usage: emulator
//
// Prints the number of the last signal that a process can send itself, and then
// the clocks whose timers raise the one before the last, of: monotonic process
// thread.

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t handled;

static void
handler(int signum)
{
    handled = signum;
}

static int
deliverable(int signum)
{
    struct sigaction act;
    memset(&act, 0, sizeof(act));
    act.sa_handler = handler;
    handled = 0;
    return sigaction(signum, &act, NULL) == 0 && kill(getpid(), signum) == 0
           && handled == signum;
}

// True if a timer of this clock raises signum within some 10 seconds of work.
static int
fires(clockid_t clock, int signum)
{
    struct sigevent ev;
    struct itimerspec when = {{0, 0}, {0, 5000000}};
    timer_t timer;
    memset(&ev, 0, sizeof(ev));
    ev.sigev_notify = SIGEV_SIGNAL;
    ev.sigev_signo = signum;
    if (timer_create(clock, &ev, &timer) != 0) {
        return 0;
    }
    handled = 0;
    if (timer_settime(timer, 0, &when, NULL) == 0) {
        time_t end = time(NULL) + 10;
        while (handled != signum && time(NULL) < end) {
        }
    }
    timer_delete(timer);
    return handled == signum;
}

int
main(void)
{
    int last = 64;
    while (last > 0 && !deliverable(last)) {
        last--;
    }
    printf("%d", last);
    if (last > 1 && deliverable(last - 1)) {
        if (fires(CLOCK_MONOTONIC, last - 1)) {
            printf(" monotonic");
        }
        if (fires(CLOCK_PROCESS_CPUTIME_ID, last - 1)) {
            printf(" process");
        }
        if (fires(CLOCK_THREAD_CPUTIME_ID, last - 1)) {
            printf(" thread");
        }
    }
    printf("\n");
    return 0;
}
