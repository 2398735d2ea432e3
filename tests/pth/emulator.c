// What the machine, or its emulator, can do of what threads need.
//
// usage: emulator
//
// Prints the number of the last signal that a process can send itself.

#include <signal.h>
#include <stdio.h>
#include <string.h>
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

int
main(void)
{
    int last = 64;
    while (last > 0 && !deliverable(last)) {
        last--;
    }
    printf("%d\n", last);
    return 0;
}
