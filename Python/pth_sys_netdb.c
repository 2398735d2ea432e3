// GNU Pth backend, system call mapping: name resolution.
//
// The C library reads files, asks servers, or loads modules that do whatever
// they like (nsswitch.conf(5)), out of sight of the mapping.  So a kernel
// thread makes the call.  What that thread has of its own is `_res`, as every
// thread has (resolver(3)).

#include "pth_syscalls.h"

#include <netdb.h>

DECLARE_REAL(getaddrinfo)
DECLARE_REAL(getnameinfo)
DECLARE_REAL(gethostbyname)
DECLARE_REAL(gethostbyname2)
DECLARE_REAL(gethostbyaddr)
DECLARE_REAL(gethostbyname_r)
DECLARE_REAL(gethostbyname2_r)
DECLARE_REAL(gethostbyaddr_r)

// The arguments of any of the functions below, and what it returns.
struct netdb_args {
    const char *name, *service;
    const struct addrinfo *hints;
    struct addrinfo **res;
    const void *addr;
    socklen_t addrlen;
    char *host, *serv;
    socklen_t hostlen, servlen;
    int type;                     // address family, or flags
    struct hostent *ret, **result;
    char *buf;
    size_t buflen;
    int *h_errnop;
    int status, err, h_err;
};

static void
call(void (*func)(void *), struct netdb_args *a)
{
    if (_PyPth_Offload(func, a, 0) < 0) {
        func(a);
    }
    errno = a->err;
}

// func(): `status` is what it returns.
#define OFFLOADED(name, statement)          \
    static void                             \
    offloaded_ ## name(void *arg)           \
    {                                       \
        struct netdb_args *a = arg;         \
        statement;                          \
        a->err = errno;                     \
        a->h_err = h_errno;                 \
    }

OFFLOADED(getaddrinfo,
          a->status = real(getaddrinfo)(a->name, a->service, a->hints, a->res))

MAPPED int
getaddrinfo(const char *name, const char *service,
            const struct addrinfo *hints, struct addrinfo **res)
{
    if (!can_switch()) {
        return real(getaddrinfo)(name, service, hints, res);
    }
    // Numbers need nobody to be asked.
    struct addrinfo numeric = {0};
    if (hints != NULL) {
        numeric = *hints;
    }
    else {
        numeric.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG;   // getaddrinfo(3)
    }
    numeric.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
    if (real(getaddrinfo)(name, service, &numeric, res) == 0) {
        return 0;
    }
    struct netdb_args a = {.name = name, .service = service, .hints = hints,
                           .res = res};
    call(offloaded_getaddrinfo, &a);
    return a.status;
}

OFFLOADED(getnameinfo,
          a->status = real(getnameinfo)(a->addr, a->addrlen, a->host,
                                        a->hostlen, a->serv, a->servlen,
                                        a->type))

MAPPED int
getnameinfo(const struct sockaddr *addr, socklen_t addrlen, char *host,
            socklen_t hostlen, char *serv, socklen_t servlen, int flags)
{
    const int numeric = NI_NUMERICHOST | NI_NUMERICSERV;
    if ((flags & numeric) == numeric || !can_switch()) {
        return real(getnameinfo)(addr, addrlen, host, hostlen, serv, servlen,
                                 flags);
    }
    struct netdb_args a = {.addr = addr, .addrlen = addrlen, .host = host,
                           .hostlen = hostlen, .serv = serv,
                           .servlen = servlen, .type = flags};
    call(offloaded_getnameinfo, &a);
    return a.status;
}


/* The older functions.  Those without _r return memory of the C library, which
   is not the thread's. */

OFFLOADED(gethostbyname, a->ret = real(gethostbyname)(a->name))

MAPPED struct hostent *
gethostbyname(const char *name)
{
    if (!can_switch()) {
        return real(gethostbyname)(name);
    }
    struct netdb_args a = {.name = name};
    call(offloaded_gethostbyname, &a);
    h_errno = a.h_err;
    return a.ret;
}

OFFLOADED(gethostbyname2, a->ret = real(gethostbyname2)(a->name, a->type))

MAPPED struct hostent *
gethostbyname2(const char *name, int family)
{
    if (!can_switch()) {
        return real(gethostbyname2)(name, family);
    }
    struct netdb_args a = {.name = name, .type = family};
    call(offloaded_gethostbyname2, &a);
    h_errno = a.h_err;
    return a.ret;
}

OFFLOADED(gethostbyaddr,
          a->ret = real(gethostbyaddr)(a->addr, a->addrlen, a->type))

MAPPED struct hostent *
gethostbyaddr(const void *addr, socklen_t len, int family)
{
    if (!can_switch()) {
        return real(gethostbyaddr)(addr, len, family);
    }
    struct netdb_args a = {.addr = addr, .addrlen = len, .type = family};
    call(offloaded_gethostbyaddr, &a);
    h_errno = a.h_err;
    return a.ret;
}

OFFLOADED(gethostbyname_r,
          a->status = real(gethostbyname_r)(a->name, a->ret, a->buf, a->buflen,
                                            a->result, a->h_errnop))

MAPPED int
gethostbyname_r(const char *name, struct hostent *ret, char *buf,
                size_t buflen, struct hostent **result, int *h_errnop)
{
    if (!can_switch()) {
        return real(gethostbyname_r)(name, ret, buf, buflen, result, h_errnop);
    }
    struct netdb_args a = {.name = name, .ret = ret, .buf = buf,
                           .buflen = buflen, .result = result,
                           .h_errnop = h_errnop};
    call(offloaded_gethostbyname_r, &a);
    return a.status;
}

OFFLOADED(gethostbyname2_r,
          a->status = real(gethostbyname2_r)(a->name, a->type, a->ret, a->buf,
                                             a->buflen, a->result,
                                             a->h_errnop))

MAPPED int
gethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf,
                 size_t buflen, struct hostent **result, int *h_errnop)
{
    if (!can_switch()) {
        return real(gethostbyname2_r)(name, family, ret, buf, buflen, result,
                                      h_errnop);
    }
    struct netdb_args a = {.name = name, .type = family, .ret = ret,
                           .buf = buf, .buflen = buflen, .result = result,
                           .h_errnop = h_errnop};
    call(offloaded_gethostbyname2_r, &a);
    return a.status;
}

OFFLOADED(gethostbyaddr_r,
          a->status = real(gethostbyaddr_r)(a->addr, a->addrlen, a->type,
                                            a->ret, a->buf, a->buflen,
                                            a->result, a->h_errnop))

MAPPED int
gethostbyaddr_r(const void *addr, socklen_t len, int family,
                struct hostent *ret, char *buf, size_t buflen,
                struct hostent **result, int *h_errnop)
{
    if (!can_switch()) {
        return real(gethostbyaddr_r)(addr, len, family, ret, buf, buflen,
                                     result, h_errnop);
    }
    struct netdb_args a = {.addr = addr, .addrlen = len, .type = family,
                           .ret = ret, .buf = buf, .buflen = buflen,
                           .result = result, .h_errnop = h_errnop};
    call(offloaded_gethostbyaddr_r, &a);
    return a.status;
}
