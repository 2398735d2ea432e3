/* To be preloaded: name resolution that takes as long as $SLOW_NETDB says, in
 * microseconds, as if a server had to be asked; or until one has answered with a byte
 * on the descriptor $NETDB_SERVER. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

static void *
slow(const char *name)
{
    const char *us = getenv("SLOW_NETDB"), *server = getenv("NETDB_SERVER");
    char answer;
    if (server == NULL) {
        usleep(us != NULL ? (useconds_t)atoi(us) : 0);
    }
    else if (read(atoi(server), &answer, 1) != 1) {
        abort();
    }
    return dlsym(RTLD_NEXT, name);
}

#define NEXT(name) ((__typeof__(&name))slow(#name))

int
getaddrinfo(const char *host, const char *service,
            const struct addrinfo *hints, struct addrinfo **list)
{
    if (hints != NULL && (hints->ai_flags & AI_NUMERICHOST)) {
        /* It asks nobody. */
        return ((__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo"))(
            host, service, hints, list);
    }
    return NEXT(getaddrinfo)(host, service, hints, list);
}

int
getnameinfo(const struct sockaddr *addr, socklen_t len, char *host,
            socklen_t hostlen, char *serv, socklen_t servlen, int flags)
{
    if (flags & NI_NUMERICHOST) {
        return ((__typeof__(&getnameinfo))dlsym(RTLD_NEXT, "getnameinfo"))(
            addr, len, host, hostlen, serv, servlen, flags);
    }
    return NEXT(getnameinfo)(addr, len, host, hostlen, serv, servlen, flags);
}

struct hostent *
gethostbyname(const char *name)
{
    return NEXT(gethostbyname)(name);
}

struct hostent *
gethostbyname2(const char *name, int family)
{
    return NEXT(gethostbyname2)(name, family);
}

struct hostent *
gethostbyaddr(const void *addr, socklen_t len, int family)
{
    return NEXT(gethostbyaddr)(addr, len, family);
}

int
gethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t len,
                struct hostent **result, int *err)
{
    return NEXT(gethostbyname_r)(name, ret, buf, len, result, err);
}

int
gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf,
                 size_t len, struct hostent **result, int *err)
{
    return NEXT(gethostbyname2_r)(name, family, ret, buf, len, result, err);
}

int
gethostbyaddr_r(const void *addr, socklen_t addrlen, int family,
                struct hostent *ret, char *buf, size_t len,
                struct hostent **result, int *err)
{
    return NEXT(gethostbyaddr_r)(addr, addrlen, family, ret, buf, len, result,
                                 err);
}
