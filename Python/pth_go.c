// GNU Pth backend: libraries that are written in Go.
//
// The runtime that is part of each such library (cgo) goes by the kernel thread,
// and not by the thread: it gives each thread that calls it an alternate stack
// by a system call of its own, sends signals to the kernel thread that it was on
// then, and runs code on stacks of a few kilobytes, where no signal handler has
// room (os/signal, "Go programs that use cgo or SWIG").  So GNU Pth schedules
// nobody any more where there is one: each thread stays on its own kernel
// thread.

#include "pth_internal.h"

#include <link.h>                 // dl_iterate_phdr()

char _PyPth_has_go = 0;

// Does the object have a note by Go's linker (cmd/link/internal/ld/elf.go,
// ELF_NOTE_GO_NAME)?
static int
is_go(struct dl_phdr_info *info, size_t Py_UNUSED(size), void *Py_UNUSED(arg))
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE) {
            continue;
        }
        const char *note = (const char *)info->dlpi_addr + segment->p_vaddr;
        const char *end = note + segment->p_memsz;
        while (end - note > (ptrdiff_t)sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *header = (const ElfW(Nhdr) *)note;
            note += sizeof(*header);
            if (header->n_namesz == 4 && memcmp(note, "Go\0", 4) == 0) {
                return 1;
            }
            note += ((header->n_namesz + 3) & ~3U)
                    + ((header->n_descsz + 3) & ~3U);
        }
    }
    return 0;
}

void
_PyPth_LookForGo(void)
{
    static uint64_t known = 0;
    if (_PyPth_has_go) {
        return;
    }
    uint64_t loads = _PyPth_CountLoads();
    if (loads != 0 && _Py_atomic_load_uint64_relaxed(&known) != loads) {
        if (dl_iterate_phdr(is_go, NULL)) {
            _PyPth_has_go = _PyPth_all_alone = 1;
        }
        _Py_atomic_store_uint64_relaxed(&known, loads);
    }
}
