// GNU Pth backend, system call mapping: input by way of stdio.
//
// The C library fills a stream's buffer by a read() of its own, which nobody
// else sees.  So these functions take from the stream no more than is in the
// buffer, and wait for the descriptor before they let it be filled.  Output is
// not mapped: what a full pipe does not take, the C library writes in one go.

#include "pth_syscalls.h"

#include <stdio.h>
#include <stdio_ext.h>            // __flbf(), __fpending()

DECLARE_REAL(fgets)
DECLARE_REAL(getc)
DECLARE_REAL(fread)
DECLARE_REAL(getdelim)

// What is in the buffer.  The names are those of <bits/types/struct_FILE.h>,
// which the inline functions of <bits/stdio.h> use, too.
static size_t
buffered(FILE *f)
{
    return f->_IO_read_ptr < f->_IO_read_end
           ? (size_t)(f->_IO_read_end - f->_IO_read_ptr) : 0;
}

// May reading from `f` block?
static int
may_block(FILE *f)
{
    return buffered(f) == 0 && !(f->_flags & _IO_EOF_SEEN) && f->_fileno >= 0
           && can_switch();
}

// Return 0, or -1 and errno.
static int
wait_input(FILE *f)
{
    if (__flbf(stdout) && __fpending(stdout) > 0) {
        // A prompt: the C library, too, flushes it before it reads (fileops.c,
        // _IO_new_file_underflow()).
        (void)fflush(stdout);
    }
    return _PyPth_WaitBefore(f->_fileno, POLLIN, _PyPth_FOREVER);
}

// getc() that lets others run.
static int
get(FILE *f)
{
    if (may_block(f) && wait_input(f) < 0) {
        f->_flags |= _IO_ERR_SEEN;
        return EOF;
    }
    return real(getc)(f);
}

static int
map_getc(FILE *f)
{
    return get(f);
}

MAPPED_NAME(getc, map_getc)
MAPPED_NAME(fgetc, map_getc)
MAPPED_NAME(_IO_getc, map_getc)

MAPPED int
getchar(void)
{
    return get(stdin);
}

MAPPED char *
fgets(char *buf, int size, FILE *f)
{
    if (size <= 1 || !can_switch()) {
        return real(fgets)(buf, size, f);
    }
    int n = 0;
    while (n < size - 1) {
        int c = get(f);
        if (c == EOF) {
            if (n == 0 || ferror(f)) {
                return NULL;
            }
            break;
        }
        buf[n++] = (char)c;
        if (c == '\n') {
            break;
        }
    }
    buf[n] = '\0';
    return buf;
}

MAPPED char *
__fgets_chk(char *buf, size_t size, int n, FILE *f)
{
    if (n > 0 && (size_t)n > size) {
        __chk_fail();
    }
    return fgets(buf, n, f);
}

MAPPED size_t
fread(void *buf, size_t size, size_t count, FILE *f)
{
    size_t len;
    if (!can_switch() || __builtin_mul_overflow(size, count, &len)) {
        return real(fread)(buf, size, count, f);
    }
    char *p = buf, *end = p + len;
    while (p < end) {
        if (buffered(f) == 0) {
            int c = get(f);
            if (c == EOF) {
                break;
            }
            *p++ = (char)c;
        }
        size_t n = Py_MIN(buffered(f), (size_t)(end - p));
        p += real(fread)(p, 1, n, f);
    }
    return size > 0 ? (size_t)(p - (char *)buf) / size : 0;
}

MAPPED size_t
__fread_chk(void *buf, size_t bufsize, size_t size, size_t count, FILE *f)
{
    size_t len;
    if (__builtin_mul_overflow(size, count, &len) || len > bufsize) {
        __chk_fail();
    }
    return fread(buf, size, count, f);
}

static ssize_t
map_getdelim(char **line, size_t *size, int delim, FILE *f)
{
    if (line == NULL || size == NULL || !can_switch()) {
        return real(getdelim)(line, size, delim, f);
    }
    size_t n = 0;
    for (;;) {
        if (*line == NULL || n + 2 > *size) {
            size_t bigger = *line == NULL ? 120 : 2 * *size + 2;
            char *memory = realloc(*line, bigger);
            if (memory == NULL) {
                return -1;
            }
            *line = memory;
            *size = bigger;
        }
        int c = get(f);
        if (c == EOF) {
            if (n == 0 || ferror(f)) {
                return -1;
            }
            break;
        }
        (*line)[n++] = (char)c;
        if (c == delim) {
            break;
        }
    }
    (*line)[n] = '\0';
    return (ssize_t)n;
}

static ssize_t
map_getline(char **line, size_t *size, FILE *f)
{
    return map_getdelim(line, size, '\n', f);
}

MAPPED_NAME(getdelim, map_getdelim)
MAPPED_NAME(__getdelim, map_getdelim)
MAPPED_NAME(getline, map_getline)
